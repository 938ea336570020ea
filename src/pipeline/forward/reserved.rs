//! Header names that only the gateway may say to an upstream: identity of every known preset,
//! addresses, and what some backends take for another path or method. A name counts in every
//! spelling that some server folds into it: `_` and `.` for `-` (classes 22, 23, 27–30, 34).

/// Whole families: any name that starts like this.
const PREFIXES: [&str; 14] = [
    "x-forwarded-",
    "x-auth-request-",
    "x-authenticated-",
    "x-consumer-",
    "x-credential-",
    "x-envoy-",
    "x-middleware-",
    "x-original-",
    "x-remote-",
    "x-rewrite-",
    "x-user-",
    "x-webauth-",
    "remote-",
    "portcullis-",
];

const NAMES: [&str; 26] = [
    "cf-connecting-ip",
    "client-ip",
    "fastly-client-ip",
    "forwarded",
    "proxy",
    "true-client-ip",
    "x-anonymous-consumer",
    "x-auth-assertion",
    "x-auth-email",
    "x-auth-groups",
    "x-auth-roles",
    "x-auth-user",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-email",
    "x-forwarded",
    "x-groups",
    "x-host",
    "x-http-host-override",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-real-ip",
    "x-request-id",
    "x-roles",
    "x-user",
];

pub fn is_reserved(name: &str) -> bool {
    // Most headers of a request begin otherwise.
    let first = name.as_bytes().first().map(u8::to_ascii_lowercase);
    if !matches!(first, Some(b'x' | b'r' | b'f' | b'p' | b't' | b'c')) {
        return false;
    }
    PREFIXES.iter().any(|prefix| starts_with_folded(name, prefix))
        || NAMES.iter().any(|own| own.len() == name.len() && starts_with_folded(name, own))
}

fn starts_with_folded(name: &str, prefix: &str) -> bool {
    name.len() >= prefix.len() && name.bytes().zip(prefix.bytes()).all(|(byte, own)| fold(byte) == own)
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
        ];

        for name in spellings {
            assert!(is_reserved(name), "{name}");
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
        ] {
            assert!(!is_reserved(name), "{name}");
        }
    }
}
