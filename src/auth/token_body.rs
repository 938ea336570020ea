//! The body of requests that are about one token: RFC 7009 §2.1 and RFC 7662 §2.1, as a form or as JSON.

use serde::Deserialize;
use utoipa::ToSchema;

use super::answer::Refusal;
use super::body;
use super::call::Call;

/// The JSON spelling; stricter than the form, as all of ours.
#[derive(Deserialize, ToSchema)]
#[schema(as = OneToken)]
#[serde(deny_unknown_fields)]
pub struct Document {
    token: String,
    #[serde(rename = "token_type_hint")]
    _hint: Option<String>,
}

/// The form of both RFCs. The hint isn't needed: tokens of different kinds look different.
#[derive(Deserialize, ToSchema)]
#[schema(as = OneTokenForm)]
pub struct Form {
    token: String,
    #[serde(rename = "token_type_hint")]
    #[schema(nullable = false)]
    _hint: Option<String>,
}

/// The token.
pub fn read(call: &Call) -> Result<String, Refusal> {
    Ok(match body::is_form(call) {
        true => body::form::<Form>(call)?.token,
        false => body::json::<Document>(call)?.token,
    })
}
