//! Who is calling, in the words that the upstream understands.

use http::{HeaderMap, HeaderName};
use pingora::Result;
use uuid::Uuid;

use crate::config::policy::{IdentityPreset, VaryBy};
use crate::field_values::FieldValues;
use crate::identity::{Identity, name};

/// The header names of a preset.
struct Names {
    subject: Option<HeaderName>,
    username: HeaderName,
    email: Option<HeaderName>,
    groups: HeaderName,
}

const FORWARDED: Names = Names {
    subject: Some(HeaderName::from_static("x-forwarded-user")),
    username: HeaderName::from_static("x-forwarded-preferred-username"),
    email: Some(HeaderName::from_static("x-forwarded-email")),
    groups: HeaderName::from_static("x-forwarded-groups"),
};
const REMOTE: Names = Names {
    subject: None,
    username: HeaderName::from_static("remote-user"),
    email: Some(HeaderName::from_static("remote-email")),
    groups: HeaderName::from_static("remote-groups"),
};
const WEBAUTH: Names = Names {
    subject: None,
    username: HeaderName::from_static("x-webauth-user"),
    email: Some(HeaderName::from_static("x-webauth-email")),
    groups: HeaderName::from_static("x-webauth-role"),
};
const CONSUMER: Names = Names {
    subject: Some(HeaderName::from_static("x-consumer-id")),
    username: HeaderName::from_static("x-consumer-username"),
    email: None,
    groups: HeaderName::from_static("x-consumer-groups"),
};

/// Sets the headers of the preset. An answer that is cached for more than one user must not be
/// made for one of them: `cached` says which part of the identity belongs to its key, and only
/// that part is told (class 76).
pub fn set(
    headers: &mut HeaderMap,
    preset: IdentityPreset,
    identity: &Identity,
    cached: Option<VaryBy>,
    values: &mut FieldValues,
) -> Result<()> {
    let names = match preset {
        IdentityPreset::Forwarded => FORWARDED,
        IdentityPreset::Remote => REMOTE,
        IdentityPreset::Webauth => WEBAUTH,
        IdentityPreset::Consumer => CONSUMER,
    };
    if matches!(cached, None | Some(VaryBy::User)) {
        if let Some(subject) = names.subject {
            let mut digits = Uuid::encode_buffer();
            headers.insert(subject, values.put(identity.user_id.hyphenated().encode_lower(&mut digits))?);
        }
        headers.insert(names.username, values.put(&*name::in_header(&identity.username))?);
        if let (Some(name), Some(email)) = (names.email, &identity.email) {
            headers.insert(name, values.put(email)?);
        }
    }
    if !matches!(cached, Some(VaryBy::Shared)) {
        // Role names hold no comma (`identity::name::is_role`), so joining loses nothing.
        let groups = match identity.roles.as_slice() {
            [only] => values.put(only)?,
            _ if cached == Some(VaryBy::Role) => values.put(set_of_roles(identity).join(","))?,
            roles => values.put(roles.join(","))?,
        };
        headers.insert(names.groups, groups);
    }
    Ok(())
}

/// The roles as one set, whatever their order: so they stand in the key, and so the upstream is told them.
pub fn set_of_roles(identity: &Identity) -> Vec<&str> {
    let mut roles: Vec<&str> = identity.roles.iter().map(String::as_str).collect();
    roles.sort_unstable();
    roles.dedup();
    roles
}
