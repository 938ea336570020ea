//! Every promise over real sockets, against a real Postgres and a real Redis.

mod access_rules;
mod algorithms;
mod auth_endpoints;
mod auth_wing;
mod class_accounts;
mod class_claims;
mod class_credentials;
mod class_framing;
mod class_headers;
mod class_headers_of_tokens;
mod class_hosts;
mod class_http2;
mod class_methods;
mod class_passwords;
mod class_paths;
mod class_refresh;
mod class_sessions;
mod class_token_texts;
mod class_tokens;
mod contract;
mod documented;
mod exact_limits;
mod forge;
#[allow(dead_code, unused_imports, reason = "tools for every test file, whichever of them it needs")]
mod harness;
mod identity_presets;
mod limits;
mod proxying;
mod readme;
mod refusal;
mod servers;
mod tls;
mod upstreams;
mod websocket;
