//! What a foreign token's claims mean here: the policy says where to find user, name and roles.

use serde_json::Value;
use uuid::Uuid;

use crate::config::policy::Issuer;
use crate::identity::token::claims::VerifiedClaims;
use crate::identity::token::jws::Jws;
use crate::identity::token::{TokenError, json};
use crate::identity::{Identity, name};

/// Instants beyond it (the year 9999) are no instants.
const LATEST: f64 = 253_402_300_799.0;

/// Who the token says issued it; not verified, good for nothing but choosing whose keys to try.
pub fn issuer_of(token: &str) -> Option<String> {
    let payload = Jws::split(token).ok()?.unverified_payload()?;
    let claims: Value = json::parse(&payload).ok()?;
    claims.get("iss")?.as_str().map(str::to_owned)
}

/// Call it with bytes whose signature has been checked. Time isn't looked at yet.
pub fn read(payload: &[u8], issuer: &Issuer) -> Result<VerifiedClaims, TokenError> {
    let claims: Value = json::parse(payload).map_err(|_| TokenError::Invalid)?;
    if claims.get("iss").and_then(Value::as_str) != Some(issuer.issuer.as_str())
        || !is_for_us(&claims, issuer)
    {
        return Err(TokenError::Invalid);
    }
    let ends = seconds(&claims, "exp")?.ok_or(TokenError::Invalid)?;
    let issued = seconds(&claims, "iat")?;
    let starts = seconds(&claims, "nbf")?.unwrap_or(0).max(issued.unwrap_or(0));
    let leeway = issuer.leeway.as_secs();
    Ok(VerifiedClaims {
        identity: identity(&claims, issuer, issued.unwrap_or(0), ends).ok_or(TokenError::Invalid)?,
        starts: starts.saturating_sub(leeway),
        ends: ends.saturating_add(leeway),
    })
}

/// `None` when the user isn't named, or something that upstreams are told wouldn't survive in a
/// header.
fn identity(claims: &Value, issuer: &Issuer, issued_at: u64, expires_at: u64) -> Option<Identity> {
    let names = &issuer.claims;
    let user = text_at(claims, &names.user)?;
    let username = text_at(claims, &names.username).unwrap_or(user);
    let identity = Identity {
        user_id: derived(&issuer.issuer, "user", user),
        username: name::fits_header(username).then(|| username.to_owned())?,
        email: email(claims, issuer),
        roles: names.roles.as_ref().map(|way| roles(at(claims, way), issuer)).unwrap_or_default(),
        scopes: words(at(claims, &names.scopes))
            .filter(|scope| name::fits_header(scope))
            .map(str::to_owned)
            .collect(),
        amr: words(claims.get("amr")).filter(|method| name::fits_header(method)).map(str::to_owned).collect(),
        session_id: derived(
            &issuer.issuer,
            "session",
            text(claims, "sid").or(text(claims, "jti")).unwrap_or(user),
        ),
        // Without an id a token can't be told from the user's others that ended at that second.
        token_id: match text(claims, "jti") {
            Some(id) => derived(&issuer.issuer, "token", id),
            None => derived(&issuer.issuer, "token", &format!("{user}\n{issued_at}\n{expires_at}")),
        },
        version: 0,
        issued_at,
        expires_at,
    };
    Some(identity)
}

/// A UUID of version 8 (RFC 9562 §5.8) from SHA-256. No user of our own has one of that version, so
/// that nobody elsewhere can be given the id of somebody here.
fn derived(issuer: &str, kind: &str, text: &str) -> Uuid {
    let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for part in [issuer, kind, text] {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finish().as_ref()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

fn is_for_us(claims: &Value, issuer: &Issuer) -> bool {
    let is_ours = |audience: &Value| issuer.audiences.iter().any(|own| audience.as_str() == Some(own));
    match claims.get("aud") {
        Some(Value::Array(audiences)) => audiences.iter().any(is_ours),
        Some(audience) => is_ours(audience),
        None => false,
    }
}

/// A NumericDate (RFC 7519 §2), rounded down; `None` when absent.
fn seconds(claims: &Value, claim: &str) -> Result<Option<u64>, TokenError> {
    let Some(value) = claims.get(claim) else { return Ok(None) };
    match value.as_f64() {
        Some(instant) if (0.0..=LATEST).contains(&instant) => Ok(Some(instant as u64)),
        _ => Err(TokenError::Invalid),
    }
}

/// An address that the issuer doesn't say it has verified could be anybody's. Some issuers say so by a text or
/// a number; what is none of these isn't taken for a yes, nor is a claim that isn't there, unless the file says
/// that this issuer verifies every address.
fn email(claims: &Value, issuer: &Issuer) -> Option<String> {
    let is_verified = match at(claims, &issuer.claims.email_verified) {
        None => issuer.email_trusted,
        Some(Value::String(text)) => text == "true" || text == "1",
        Some(Value::Number(number)) => number.as_u64() == Some(1),
        Some(said) => *said == Value::Bool(true),
    };
    let email = text_at(claims, &issuer.claims.email).filter(|email| name::fits_header(email))?;
    is_verified.then(|| email.to_owned())
}

/// The roles that are ours; a provider has many groups that mean nothing here.
fn roles(claim: Option<&Value>, issuer: &Issuer) -> Vec<String> {
    let mut roles: Vec<String> = words(claim)
        .filter_map(|theirs| match &issuer.roles {
            Some(names) => names.get(theirs).cloned(),
            None => name::is_role(theirs).then(|| theirs.to_owned()),
        })
        .collect();
    roles.sort_unstable();
    roles.dedup();
    roles
}

/// A list of texts, or one text with spaces between the words (RFC 8693 §4.2).
fn words(claim: Option<&Value>) -> impl Iterator<Item = &str> {
    let (list, text) = match claim {
        Some(Value::Array(list)) => (list.as_slice(), ""),
        Some(Value::String(text)) => (&[][..], text.as_str()),
        _ => (&[][..], ""),
    };
    list.iter().filter_map(Value::as_str).chain(text.split(' ').filter(|word| !word.is_empty()))
}

fn at<'v>(claims: &'v Value, way: &[String]) -> Option<&'v Value> {
    way.iter().try_fold(claims, |value, name| value.get(name.as_str()))
}

fn text_at<'v>(claims: &'v Value, way: &[String]) -> Option<&'v str> {
    at(claims, way)?.as_str().filter(|text| !text.is_empty())
}

fn text<'v>(claims: &'v Value, claim: &str) -> Option<&'v str> {
    claims.get(claim)?.as_str().filter(|text| !text.is_empty())
}
