//! Every attack class, and every promise that forwarding has a part in, once more with the fast lane
//! closed: whichever way a request goes, they hold. `harness::Setup` writes `fast_lane: false` for
//! this program.

mod access_rules;
mod algorithms;
mod bad_input;
mod class_accounts;
mod class_cache;
mod class_cache_poisoning;
mod class_claims;
mod class_credentials;
mod class_framing;
mod class_headers;
mod class_headers_of_tokens;
mod class_hosts;
mod class_http2;
mod class_http2_injection;
mod class_methods;
mod class_openness;
mod class_passwords;
mod class_paths;
mod class_refresh;
mod class_sessions;
mod class_token_texts;
mod class_tokens;
mod client_addresses;
mod client_connections;
mod client_timeouts;
mod drain;
mod exact_limits;
mod forge;
#[allow(dead_code, unused_imports, reason = "tools for every test file, whichever of them it needs")]
mod harness;
mod identity_presets;
mod limits;
mod lingering;
mod lossless_end;
mod old_http;
mod pipelined;
mod plain_targets;
mod proxying;
#[allow(dead_code, reason = "the same")]
mod refusal;
mod reload;
mod reserved_fields;
#[allow(dead_code, reason = "the same")]
mod servers;
mod signed_assertion;
mod telemetry;
mod tls;
mod tracing;
mod upstream_causes;
mod upstreams;
mod websocket;
