//! Header names that only the gateway may say to an upstream: identity of every known preset,
//! addresses, and what some backends take for another path or method. A name counts in every
//! spelling that some server folds into it: `_` and `.` for `-` (classes 22, 23, 27–30, 34).
//!
//! What other gateways and clouds call these fields is here too: a backend may have stood behind one of them, and
//! still believe its words.

use crate::config::policy::ReservedField;

/// Whole families: what stands behind `x-` in any name that starts like this.
const X_PREFIXES: [&str; 23] = [
    "amzn-mtls-",
    "amzn-oidc-",
    "auth-request-",
    "authenticated-",
    "authentik-",
    "client-cert",
    "consumer-",
    "credential-",
    "envoy-",
    "forwarded-",
    "goog-authenticated-user-",
    "goog-iap-",
    "middleware-",
    "ms-client-principal",
    "ms-token-",
    "original-",
    "pomerium-",
    "remote-",
    "rewrite-",
    "ssl-client",
    "user-",
    "vouch-",
    "webauth-",
];

/// The same as whole names.
const X_NAMES: [&str; 36] = [
    "anonymous-consumer",
    "auth-assertion",
    "auth-audience",
    "auth-email",
    "auth-family-name",
    "auth-given-name",
    "auth-groups",
    "auth-roles",
    "auth-subject",
    "auth-user",
    "auth-userid",
    "auth-username",
    "client-dn",
    "client-ip",
    "cluster-client-ip",
    "email",
    "forwarded",
    "groups",
    "host",
    "http-host-override",
    "http-method",
    "http-method-override",
    "jwt-assertion",
    "method-override",
    "real-ip",
    "request-id",
    "role",
    "roles",
    "scope-orgid",
    "ssl-cert",
    "tenant",
    "user",
    "userid",
    "userinfo",
    "username",
    "userroles",
];

const PREFIXES: [&str; 7] =
    ["cf-access-", "client-cert", "portcullis-", "remote-", "ssl-client-", "tailscale-", "teleport-jwt-"];

const NAMES: [&str; 6] =
    ["cf-connecting-ip", "client-ip", "fastly-client-ip", "forwarded", "proxy", "true-client-ip"];

pub fn is_reserved(name: &str) -> bool {
    // Most names of a request begin otherwise than any of these.
    match name.as_bytes() {
        [b'x' | b'X', b'-' | b'_' | b'.', ..] => is_listed(&name[2..], &X_PREFIXES, &X_NAMES),
        [b'c' | b'f' | b'p' | b'r' | b's' | b't' | b'C' | b'F' | b'P' | b'R' | b'S' | b'T', ..] => {
            is_listed(name, &PREFIXES, &NAMES)
        }
        _ => false,
    }
}

/// Whether the upstream's own list in gateway.yaml has it.
pub fn is_reserved_by(fields: &[ReservedField], name: &str) -> bool {
    fields.iter().any(|field| match field {
        ReservedField::Name(own) => own.len() == name.len() && starts_with_folded(name, own),
        ReservedField::Family(prefix) => starts_with_folded(name, prefix),
    })
}

fn is_listed(name: &str, prefixes: &[&str], names: &[&str]) -> bool {
    prefixes.iter().any(|prefix| starts_with_folded(name, prefix))
        || names.iter().any(|own| own.len() == name.len() && starts_with_folded(name, own))
}

fn starts_with_folded(name: &str, prefix: &str) -> bool {
    name.len() >= prefix.len() && name.bytes().zip(prefix.bytes()).all(|(byte, own)| fold(byte) == own)
}

/// Whether some server reads `name` as `other`, which is another name.
pub fn is_spelling_of(name: &str, other: &str) -> bool {
    name != other
        && name.len() == other.len()
        && name.bytes().zip(other.bytes()).all(|(a, b)| fold(a) == fold(b))
}

fn fold(byte: u8) -> u8 {
    match byte {
        b'_' | b'.' => b'-',
        other => other.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_identity_header_is_reserved() {
        let spellings = [
            "x-forwarded-user",
            "x_forwarded_user",
            "x-forwarded_user",
            "x.forwarded.user",
            "X-Forwarded-User",
            "remote-user",
            "remote_user",
            "x-webauth-role",
            "x-consumer-id",
            "x-auth-request-email",
            "x-user-id",
            "x_real_ip",
            "forwarded",
            "x-original-url",
            "x-http-method-override",
            "x-request-id",
            "portcullis-reason",
            "X-authentik-username",
            "x-pomerium-jwt-assertion",
            "Cf-Access-Authenticated-User-Email",
            "X-Goog-Authenticated-User-Id",
            "x_ms_client_principal_name",
            "x-ms-client-principal",
            "Tailscale-User-Login",
            "X-Scope-OrgID",
            "x.username",
            "x-userinfo",
            "x-role",
            "x-tenant",
            "x-ssl-client-s-dn",
            "ssl-client-verify",
            "x-client-cert",
            "Client-Cert-Chain",
            "x-amzn-oidc-data",
        ];

        for name in spellings {
            assert!(is_reserved(name), "{name}");
        }
    }

    #[test]
    fn an_upstreams_own_list_counts_in_every_spelling_too() {
        let own = [ReservedField::Name("x-employee".to_owned()), ReservedField::Family("corp-".to_owned())];

        for name in ["x-employee", "X_Employee", "corp-id", "Corp.Id", "corp-"] {
            assert!(is_reserved_by(&own, name), "{name}");
        }
        for name in ["x-employees", "x-employe", "corp", "xcorp-id"] {
            assert!(!is_reserved_by(&own, name), "{name}");
        }
    }

    #[test]
    fn ordinary_headers_are_not() {
        for name in [
            "accept",
            "cookie",
            "content-type",
            "traceparent",
            "x-requested-with",
            "range",
            "referer",
            "x-trace",
            "x",
            "x-",
            "x-tenant-id",
            "x-auth-token",
            "x-rolex",
            "content-type",
            "client",
        ] {
            assert!(!is_reserved(name), "{name}");
        }
    }
}
