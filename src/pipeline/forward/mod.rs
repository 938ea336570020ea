//! From a request that may pass to the bytes that go upstream.

pub mod choose_upstream;
pub mod fast_lane;
pub mod identity_headers;
pub mod request_body;
pub mod reserved;
pub mod rewrite_request;
pub mod sent_fields;
pub mod upload;
