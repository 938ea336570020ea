//! What a request presents to show who it is from (RFC 6750 §2.1).

use http::{HeaderMap, header};

use super::token::TokenError;
use crate::rejection::Code;

/// The bearer token, `None` without `Authorization`. Several credentials are none (class 20).
pub fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Code> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Code::TokenMalformed);
    }
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| Code::TokenMalformed)?;
    let (scheme, token) = text.split_once(' ').ok_or(Code::TokenMalformed)?;
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Err(Code::TokenMalformed);
    }
    Ok(Some(token))
}

impl From<TokenError> for Code {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Malformed => Self::TokenMalformed,
            TokenError::Invalid => Self::TokenInvalid,
            TokenError::Expired => Self::TokenExpired,
            TokenError::NotYetValid => Self::TokenNotYetValid,
        }
    }
}
