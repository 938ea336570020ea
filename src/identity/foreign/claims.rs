//! What a foreign token's claims mean here: the policy says where to find user, name and roles.

use serde_json::Value;
use uuid::Uuid;

use super::Cause;
use crate::config::policy::{Audience, ForeignRoles, Issuer, TENANT, Tenants, tenant};
use crate::identity::token::claims::VerifiedClaims;
use crate::identity::token::json;
use crate::identity::token::jws::{Header, Jws};
use crate::identity::{Identity, name};

/// Instants beyond it (the year 9999) are no instants.
const LATEST: f64 = 253_402_300_799.0;

/// What a token says, and which claims that the file names aren't in it.
pub struct Read {
    pub claims: VerifiedClaims,
    pub absent: Vec<Absent>,
}

/// A claim that the file names and a token lacks, as a key below `claims:`.
pub type Absent = &'static str;

/// Who the token says issued it; not verified, good for nothing but choosing whose keys to try.
pub fn issuer_of(token: &str) -> Option<String> {
    let claims = unverified(token)?;
    claims.get("iss")?.as_str().map(str::to_owned)
}

/// The `kid` that the token names.
pub fn key_id_of(token: &str) -> Option<String> {
    Header::parse(Jws::split(token).ok()?.header).ok()?.kid
}

/// Why a token that has been verified brings no role, if its roles were looked for in vain.
pub fn why_without_roles(token: &str, issuer: &Issuer) -> Option<Cause> {
    let claims = unverified(token)?;
    match (&issuer.claims.roles, &issuer.roles) {
        (Some(path), _) if at(&claims, path).is_none() => Some(Cause::RoleClaimNotFound),
        (None, _) | (_, None) => Some(Cause::RolesNotMapped),
        _ => None,
    }
}

fn unverified(token: &str) -> Option<Value> {
    let payload = Jws::split(token).ok()?.unverified_payload()?;
    json::parse(&payload).ok()
}

/// Call it with bytes whose signature has been checked, by a key that is for `key_issuer` if it says so. Time
/// isn't looked at yet.
pub fn read(payload: &[u8], issuer: &Issuer, key_issuer: Option<&str>) -> Result<Read, Cause> {
    let claims: Value = json::parse(payload).map_err(|_| Cause::UnreadableClaims)?;
    let realm = realm(&claims, issuer, key_issuer)?;
    // Before the audience: an ID token has the client for one, which would point to the wrong remedy.
    if is_id_token(&claims) && !issuer.allow_id_tokens {
        return Err(Cause::IdToken);
    }
    if !is_for_us(&claims, issuer) {
        return Err(Cause::WrongAudience);
    }
    let ends = seconds(&claims, "exp")?.ok_or(Cause::ExpiryMissing)?;
    let issued = seconds(&claims, "iat")?;
    let starts = seconds(&claims, "nbf")?.unwrap_or(0).max(issued.unwrap_or(0));
    let leeway = issuer.leeway.as_secs();
    let claims_read = VerifiedClaims {
        identity: identity(&claims, issuer, realm, issued.unwrap_or(0), ends)?,
        starts: starts.saturating_sub(leeway),
        ends: ends.saturating_add(leeway),
    };
    Ok(Read { claims: claims_read, absent: absent(&claims, issuer) })
}

/// What the ids of its users are made of: the issuer as the file spells it first, or its tenant's own issuer.
fn realm<'v>(claims: &'v Value, issuer: &'v Issuer, key_issuer: Option<&str>) -> Result<&'v str, Cause> {
    let iss = text(claims, "iss").ok_or(Cause::WrongIssuer)?;
    if !key_issuer.is_none_or(|of| is_key_for(of, iss, issuer)) {
        return Err(Cause::WrongIssuer);
    }
    let (Some(tenants), Some(own)) = (&issuer.tenants, issuer.tenant_of(iss)) else {
        return if issuer.is_spelling(iss) { Ok(&issuer.issuer) } else { Err(Cause::WrongIssuer) };
    };
    // A token names its tenant twice.
    if text(claims, "tid").is_some_and(|said| said != own) {
        return Err(Cause::WrongIssuer);
    }
    match tenants {
        Tenants::Only(allowed) if !allowed.iter().any(|one| one.eq_ignore_ascii_case(own)) => {
            Err(Cause::TenantNotAllowed)
        }
        _ => Ok(iss),
    }
}

/// A key may be one issuer's or one tenant's only, though the set has keys of others.
fn is_key_for(of: &str, iss: &str, issuer: &Issuer) -> bool {
    match of.contains(TENANT) {
        true => tenant(of, iss).is_some(),
        false => of == iss || (issuer.is_spelling(of) && issuer.is_spelling(iss)),
    }
}

/// OpenID Connect Core 1.0 §2 and §3.3.2.11: what only ID tokens carry. Two providers also say so by a word
/// of their own: Cognito by `token_use`, Keycloak by a claim `typ`.
fn is_id_token(claims: &Value) -> bool {
    let says = |claim: &str, word: &str| claims.get(claim).and_then(Value::as_str) == Some(word);
    ["nonce", "at_hash", "c_hash"].iter().any(|claim| claims.get(claim).is_some())
        || says("token_use", "id")
        || says("typ", "ID")
}

/// Names of the gateway's own users hold none of the signs that a prefix must have, so that nobody elsewhere can
/// be taken for somebody here.
fn username(claims: &Value, issuer: &Issuer, user: &str) -> Result<String, Cause> {
    let name = text_at(claims, &issuer.claims.username).unwrap_or(user);
    // What else no header may hold is percent-encoded there.
    if name.chars().any(char::is_control) {
        return Err(Cause::UnusableName);
    }
    Ok([issuer.username_prefix.as_deref().unwrap_or_default(), name].concat())
}

fn identity(
    claims: &Value,
    issuer: &Issuer,
    realm: &str,
    issued_at: u64,
    expires_at: u64,
) -> Result<Identity, Cause> {
    let names = &issuer.claims;
    let user = text_at(claims, &names.user).ok_or(Cause::UserMissing)?;
    Ok(Identity {
        user_id: derived(realm, "user", user),
        username: username(claims, issuer, user)?,
        email: email(claims, issuer),
        roles: names.roles.as_ref().map(|path| roles(at(claims, path), issuer)).unwrap_or_default(),
        scopes: words(at(claims, &names.scopes))
            .filter(|scope| name::fits_header(scope))
            .map(str::to_owned)
            .collect(),
        amr: words(claims.get("amr")).filter(|method| name::fits_header(method)).map(str::to_owned).collect(),
        session_id: derived(realm, "session", text(claims, "sid").or(text(claims, "jti")).unwrap_or(user)),
        // Without an id a token can't be told from the user's others that ended at that second.
        token_id: match text(claims, "jti") {
            Some(id) => derived(realm, "token", id),
            None => derived(realm, "token", &format!("{user}\n{issued_at}\n{expires_at}")),
        },
        version: 0,
        issued_at,
        expires_at,
    })
}

/// Of the claims that the file names, those that aren't there. What stands there by default is missing often.
fn absent(claims: &Value, issuer: &Issuer) -> Vec<Absent> {
    let names = &issuer.claims;
    let named = |key: Absent, path: &[String], default: &str| {
        let is_named = !matches!(path, [only] if only == default);
        (is_named && at(claims, path).is_none()).then_some(key)
    };
    let roles = names.roles.as_deref().filter(|path| at(claims, path).is_none()).map(|_| "roles");
    [
        named("username", &names.username, "preferred_username"),
        named("email", &names.email, "email"),
        named("email_verified", &names.email_verified, "email_verified"),
        named("scopes", &names.scopes, "scope"),
        roles,
    ]
    .into_iter()
    .flatten()
    .collect()
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
    let (claim, values) = match &issuer.audience {
        Audience::OneOf { claim, values } => (claim, values),
        Audience::Absent => {
            return match claims.get("aud") {
                None | Some(Value::Null) => true,
                Some(Value::String(audience)) => audience.is_empty(),
                Some(Value::Array(audiences)) => audiences.is_empty(),
                Some(_) => false,
            };
        }
    };
    let is_ours = |audience: &Value| values.iter().any(|own| audience.as_str() == Some(own));
    match at(claims, claim) {
        Some(Value::Array(audiences)) => audiences.iter().any(is_ours),
        Some(audience) => is_ours(audience),
        None => false,
    }
}

/// A NumericDate (RFC 7519 §2), rounded down; `None` when absent.
fn seconds(claims: &Value, claim: &str) -> Result<Option<u64>, Cause> {
    let Some(value) = claims.get(claim) else { return Ok(None) };
    match value.as_f64() {
        Some(instant) if (0.0..=LATEST).contains(&instant) => Ok(Some(instant as u64)),
        _ if claim == "exp" => Err(Cause::ExpiryMissing),
        _ => Err(Cause::UnreadableClaims),
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

/// The roles that are ours; a provider has many groups that mean nothing here, and what it calls `admin` may be
/// anything.
fn roles(claim: Option<&Value>, issuer: &Issuer) -> Vec<String> {
    let ours = |theirs: &str| match &issuer.roles {
        None => None,
        Some(ForeignRoles::Same) => name::is_role(theirs).then(|| theirs.to_owned()),
        Some(ForeignRoles::Mapped(names)) => names.get(theirs).cloned(),
    };
    let mut roles: Vec<String> = match claim {
        // Zitadel: an object, in which each role is a name.
        Some(Value::Object(named)) => named.keys().filter_map(|theirs| ours(theirs)).collect(),
        claim => words(claim).filter_map(ours).collect(),
    };
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

fn at<'v>(claims: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(claims, |value, name| value.get(name.as_str()))
}

fn text_at<'v>(claims: &'v Value, path: &[String]) -> Option<&'v str> {
    at(claims, path)?.as_str().filter(|text| !text.is_empty())
}

fn text<'v>(claims: &'v Value, claim: &str) -> Option<&'v str> {
    claims.get(claim)?.as_str().filter(|text| !text.is_empty())
}
