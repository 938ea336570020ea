//! What a request presents to show who it is from (RFC 6750 §2.1).

use http::{HeaderMap, HeaderName, header};

use super::api_key;
use super::token::TokenError;
use crate::rejection::Code;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

pub enum Credential<'a> {
    Token(&'a str),
    /// A personal API key, by its form.
    Key(&'a str),
}

/// The bearer token or API key; `None` without any. Several credentials are none (class 20).
pub fn presented(headers: &HeaderMap) -> Result<Option<Credential<'_>>, Code> {
    let by_field = own_key(headers)?;
    match (bearer(headers)?, by_field) {
        (Some(_), Some(_)) => Err(Code::TokenMalformed),
        (None, key) => Ok(key.map(Credential::Key)),
        (Some(text), None) if text.starts_with(api_key::PREFIX) => Ok(Some(Credential::Key(text))),
        (Some(text), None) => Ok(Some(Credential::Token(text))),
    }
}

const SCHEME: &[u8] = b"bearer";

/// The text of `Authorization: Bearer`, `None` without `Authorization`.
pub fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Code> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Code::TokenMalformed);
    }
    match value.as_bytes().split_at_checked(SCHEME.len()) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(SCHEME) => after_spaces(rest).map(Some),
        _ => Err(Code::TokenMalformed),
    }
}

/// What follows one space or more (RFC 9110 §11.4).
fn after_spaces(rest: &[u8]) -> Result<&str, Code> {
    let token = rest.trim_ascii_start();
    let (spaces, _) = rest.split_at(rest.len() - token.len());
    if spaces.is_empty() || spaces.iter().any(|byte| *byte != b' ') || token.is_empty() {
        return Err(Code::TokenMalformed);
    }
    std::str::from_utf8(token).map_err(|_| Code::TokenMalformed)
}

/// What `X-API-Key` holds, if that is a key of ours; backends may have keys of their own.
fn own_key(headers: &HeaderMap) -> Result<Option<&str>, Code> {
    let mut own = headers.get_all(X_API_KEY).iter().filter(|value| is_own_key(value.as_bytes()));
    let Some(value) = own.next() else { return Ok(None) };
    if own.next().is_some() {
        return Err(Code::TokenMalformed);
    }
    value.to_str().map(Some).map_err(|_| Code::TokenMalformed)
}

/// Whether a field must not be handed on because it holds one of our keys.
pub fn is_api_key(name: &HeaderName, value: &[u8]) -> bool {
    *name == X_API_KEY && is_own_key(value)
}

fn is_own_key(value: &[u8]) -> bool {
    value.starts_with(api_key::PREFIX.as_bytes())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[(&'static str, &'static str)]) -> Result<Option<&'static str>, Code> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        presented(&headers).map(|credential| {
            credential.map(|credential| match credential {
                Credential::Token(_) => "token",
                Credential::Key(_) => "key",
            })
        })
    }

    #[test]
    fn one_credential_of_either_kind_counts() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[("authorization", "Bearer eyJ.e.s")]), Ok(Some("token")));
        assert_eq!(read(&[("authorization", "bearer pk_x")]), Ok(Some("key")));
        assert_eq!(read(&[("authorization", "Bearer  eyJ.e.s")]), Ok(Some("token")));
        assert_eq!(read(&[("x-api-key", "pk_x")]), Ok(Some("key")));
        assert_eq!(read(&[("x-api-key", "a backend's own")]), Ok(None));
        assert_eq!(read(&[("x-api-key", "other"), ("authorization", "Bearer t")]), Ok(Some("token")));
    }

    #[test]
    fn several_credentials_are_none() {
        let malformed = Err(Code::TokenMalformed);
        assert_eq!(read(&[("x-api-key", "pk_x"), ("authorization", "Bearer t")]), malformed);
        assert_eq!(read(&[("x-api-key", "pk_x"), ("x-api-key", "pk_x")]), malformed);
        assert_eq!(read(&[("x-api-key", "pk_x"), ("authorization", "Basic eDp5")]), malformed);
        assert_eq!(read(&[("authorization", "Bearer t"), ("authorization", "Bearer t")]), malformed);
        for text in ["Bearer", "Bearer ", "Bearer\tt", "Bearer \tt", "Bearert"] {
            assert_eq!(read(&[("authorization", text)]), malformed, "{text:?}");
        }
    }
}
