//! `GET /.well-known/jwks.json`: the public keys (RFC 7517), for backends that verify by
//! themselves. The one answer of this wing that may be cached.

use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use super::call::Call;

/// The public keys that verify access tokens (RFC 7517).
#[utoipa::path(
    get, path = "/jwks", operation_id = "jwks", tag = "tokens",
    responses((status = 200, description = "A JWK Set", body = Object, example = json!({ "keys": [] }))),
)]
pub async fn jwks(call: Call) -> Response {
    let fields = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "public, max-age=300")];
    let assertions = call.settings.assertions.as_ref().map(|assertions| assertions.public_keys());
    (fields, call.settings.keys.jwks(assertions.unwrap_or_default()).to_string()).into_response()
}
