//! Who is calling, in the words that the upstream understands.

use pingora::http::RequestHeader;

use crate::config::policy::{IdentityPreset, VaryBy};
use crate::identity::Identity;

/// The header names of a preset, for: subject, username, e-mail, groups.
struct Names {
    subject: Option<&'static str>,
    username: &'static str,
    email: Option<&'static str>,
    groups: &'static str,
}

fn names(preset: IdentityPreset) -> Names {
    match preset {
        IdentityPreset::Forwarded => Names {
            subject: Some("X-Forwarded-User"),
            username: "X-Forwarded-Preferred-Username",
            email: Some("X-Forwarded-Email"),
            groups: "X-Forwarded-Groups",
        },
        IdentityPreset::Remote => Names {
            subject: None,
            username: "Remote-User",
            email: Some("Remote-Email"),
            groups: "Remote-Groups",
        },
        IdentityPreset::Webauth => Names {
            subject: None,
            username: "X-WEBAUTH-USER",
            email: Some("X-WEBAUTH-EMAIL"),
            groups: "X-WEBAUTH-ROLE",
        },
        IdentityPreset::Consumer => Names {
            subject: Some("X-Consumer-ID"),
            username: "X-Consumer-Username",
            email: None,
            groups: "X-Consumer-Groups",
        },
    }
}

/// Sets the headers of the preset. An answer that is cached for more than one user must not be
/// made for one of them: `cached` says which part of the identity belongs to its key, and only
/// that part is told (class 76).
pub fn set(
    request: &mut RequestHeader,
    preset: IdentityPreset,
    identity: &Identity,
    cached: Option<VaryBy>,
) -> pingora::Result<()> {
    let names = names(preset);
    if matches!(cached, None | Some(VaryBy::User)) {
        if let Some(subject) = names.subject {
            request.insert_header(subject, identity.user_id.to_string())?;
        }
        request.insert_header(names.username, identity.username.as_str())?;
        if let (Some(name), Some(email)) = (names.email, &identity.email) {
            request.insert_header(name, email.as_str())?;
        }
    }
    if !matches!(cached, Some(VaryBy::Shared)) {
        // Role names hold no comma (`identity::name::is_role`), so joining loses nothing.
        request.insert_header(names.groups, identity.roles.join(","))?;
    }
    Ok(())
}
