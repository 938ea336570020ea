//! The layer below the claims: JWS compact serialisation (RFC 7515) with a key that is chosen and
//! pinned to one algorithm beforehand.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::TokenError;
use super::json::{self, present};

/// Longer texts are refused before any work. Bearer tokens meet `tokens.max_size` before, which is at most this.
pub const MAX_TOKEN_BYTES: usize = 32 * 1024;

/// A key for one algorithm, under one `kid`.
#[derive(Debug)]
pub struct VerifyingKey {
    pub id: String,
    pub algorithm: Algorithm,
    pub key: DecodingKey,
}

impl VerifyingKey {
    /// Whether `signature`, in base64url, is this key's over `message`. An encoding that isn't
    /// canonical and unpadded is malformed.
    pub fn verify(&self, message: &[u8], signature: &str) -> Result<(), TokenError> {
        match crypto::verify(signature, message, &self.key, self.algorithm) {
            Ok(true) => Ok(()),
            Ok(false) => Err(TokenError::Invalid),
            Err(_) => Err(TokenError::Malformed),
        }
    }
}

/// The payload of `token` if `key` signed it; what the payload means isn't looked at.
pub fn verify_signature(key: &VerifyingKey, token: &str) -> Result<Vec<u8>, TokenError> {
    let jws = Jws::split(token)?;
    if !Header::parse(jws.header)?.names(key) {
        return Err(TokenError::Invalid);
    }
    jws.verified_payload(key)
}

/// A token taken apart; nothing in it is trusted yet.
pub(in crate::identity) struct Jws<'a> {
    pub header: &'a str,
    payload: &'a str,
    signature: &'a str,
    /// Header and payload with the dot between them: what is signed.
    message: &'a [u8],
}

impl<'a> Jws<'a> {
    /// Exactly three segments, none of them empty.
    pub fn split(token: &'a str) -> Result<Self, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Malformed);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(TokenError::Malformed)?;
        if header.is_empty() || payload.is_empty() || signature.is_empty() || payload.contains('.') {
            return Err(TokenError::Malformed);
        }
        Ok(Self { header, payload, signature, message: message.as_bytes() })
    }

    /// For guesses only: nobody has vouched for it.
    pub fn unverified_payload(&self) -> Option<Vec<u8>> {
        decode(self.payload).ok()
    }

    /// The payload, decoded only after its signature has been checked.
    pub fn verified_payload(&self, key: &VerifyingKey) -> Result<Vec<u8>, TokenError> {
        self.payload_if(|message, signature| key.verify(message, signature))
    }

    /// The same, by a check of what is signed and the signature in base64url.
    pub fn payload_if(
        &self,
        check: impl FnOnce(&[u8], &str) -> Result<(), TokenError>,
    ) -> Result<Vec<u8>, TokenError> {
        check(self.message, self.signature)?;
        decode(self.payload)
    }
}

/// What a JOSE header says. It selects nothing: `kid` picks among configured keys, and `alg` must
/// be the one of that key. `jku`, `jwk`, `x5u` and `x5c` are never looked at.
#[derive(Deserialize)]
pub(in crate::identity) struct Header {
    pub alg: String,
    /// Tokens of our own always have one.
    #[serde(default, deserialize_with = "present")]
    pub kid: Option<String>,
    #[serde(default, deserialize_with = "present")]
    typ: Option<String>,
    /// These change what the rest means, and we implement none of them (RFC 7515 §4.1.11,
    /// RFC 7797, RFC 7516), so that their presence is a refusal.
    #[serde(default, deserialize_with = "present")]
    crit: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    b64: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    zip: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    enc: Option<IgnoredAny>,
}

impl Header {
    /// Bytes that aren't JSON are malformed; JSON that isn't a header we take is invalid.
    pub fn parse(segment: &str) -> Result<Self, TokenError> {
        let text = decode(segment)?;
        let header: Self = json::parse(&text).map_err(|error| match error.is_data() {
            true => TokenError::Invalid,
            false => TokenError::Malformed,
        })?;
        let extensions = [header.crit, header.b64, header.zip, header.enc];
        match extensions.iter().any(Option::is_some) {
            true => Err(TokenError::Invalid),
            false => Ok(header),
        }
    }

    /// Whether both the id and the algorithm are this key's.
    pub fn names(&self, key: &VerifyingKey) -> bool {
        self.kid.as_ref() == Some(&key.id) && algorithm_name(key.algorithm) == Some(self.alg.as_str())
    }

    /// RFC 9068 §4: no other kind of JWT may pass as an access token.
    pub fn is_access_token(&self) -> bool {
        let typ = self.typ.as_deref().unwrap_or_default();
        typ.eq_ignore_ascii_case("at+jwt") || typ.eq_ignore_ascii_case("application/at+jwt")
    }

    /// Most providers don't follow RFC 9068 and say `JWT` (or, RFC 7515 §4.1.9, `application/jwt`) or nothing; what has another name, such as
    /// a logout token, is no access token.
    pub fn may_be_foreign_access_token(&self) -> bool {
        let is_plain =
            |typ: &str| typ.eq_ignore_ascii_case("JWT") || typ.eq_ignore_ascii_case("application/jwt");
        self.typ.as_deref().is_none_or(is_plain) || self.is_access_token()
    }
}

/// The `alg` value of an algorithm that keys are pinned to; the others have none.
pub(super) fn algorithm_name(algorithm: Algorithm) -> Option<&'static str> {
    match algorithm {
        Algorithm::HS256 => Some("HS256"),
        Algorithm::RS256 => Some("RS256"),
        Algorithm::ES256 => Some("ES256"),
        Algorithm::EdDSA => Some("EdDSA"),
        Algorithm::RS384 => Some("RS384"),
        Algorithm::RS512 => Some("RS512"),
        Algorithm::PS256 => Some("PS256"),
        Algorithm::PS384 => Some("PS384"),
        Algorithm::PS512 => Some("PS512"),
        Algorithm::ES384 => Some("ES384"),
        _ => None,
    }
}

/// Base64url without padding; a spelling that isn't the canonical one is refused, so that a token
/// has one text only.
fn decode(segment: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(segment).map_err(|_| TokenError::Malformed)
}
