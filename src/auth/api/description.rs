//! `/api/openapi.json`: the description of the admin API. It tells nothing of anybody, so nobody has to say
//! who they are.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;

use crate::auth::Wing;
use crate::auth::call::Call;
use crate::auth::openapi::document;

pub async fn openapi(State(wing): State<Wing>, call: Call) -> Response {
    let document = document::admin_api(&wing.description, &call.settings.policy);
    ([(CONTENT_TYPE, "application/json")], document.to_string()).into_response()
}
