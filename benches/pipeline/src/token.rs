//! Access tokens as the gateway makes them (HS256), so that every peer gets the same.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// The `kid`, issuer and audience of all tokens here.
pub const NAME: &str = "bench";
/// Known to the gateway and to every peer.
pub const SECRET: &str = "the-secret-of-the-bench-alone-in-32-bytes-or-more";
const LIFE_SECONDS: u64 = 3600;

/// What tells one token from another.
pub struct Bearer {
    pub user: String,
    pub token: String,
    pub role: &'static str,
}

impl Bearer {
    /// The `number`th of many, with the role of ordinary users.
    pub fn user(number: usize) -> Self {
        Self { user: id('1', number), token: id('2', number), role: "user" }
    }

    pub fn mint(&self) -> String {
        let now = now();
        let header = json!({ "typ": "at+jwt", "alg": "HS256", "kid": NAME });
        let claims = json!({
            "iss": NAME, "aud": NAME, "sub": self.user, "jti": self.token, "sid": self.token,
            "iat": now, "exp": now + LIFE_SECONDS, "ver": 1, "roles": [self.role],
            "preferred_username": "bench",
        });
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let message = format!("{}.{}", encode(&header), encode(&claims));
        let signature = hmac::sign(&key(), message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// A key for [`verify`].
pub fn key() -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes())
}

/// The claims of a token that `key` signed and that is neither too old nor for others.
pub fn verify(key: &hmac::Key, token: &str) -> Option<Value> {
    let (message, signature) = token.rsplit_once('.')?;
    hmac::verify(key, message.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
    let (_, payload) = message.split_once('.')?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    let holds = claims["exp"].as_u64()? > now() && claims["iss"] == NAME && claims["aud"] == NAME;
    holds.then_some(claims)
}

/// The same token with a signature that differs in its first six bits.
pub fn forged(token: &str) -> String {
    let (message, signature) = token.rsplit_once('.').unwrap_or((token, ""));
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{message}.{other}{}", signature.get(1..).unwrap_or_default())
}

/// A UUID of version 4 by its form.
fn id(kind: char, number: usize) -> String {
    format!("{kind}0000000-0000-4000-8000-{number:012x}")
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
