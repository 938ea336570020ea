//! Path patterns and host names: only what a normalised request can equal.

/// The parameters of a path pattern, in order; `Err` says what is wrong with it.
pub fn parameters(pattern: &str) -> Result<Vec<&str>, String> {
    let Some(rest) = pattern.strip_prefix('/') else {
        return Err(format!("{pattern:?} must start with `/`"));
    };
    let mut names = Vec::new();
    let mut segments = rest.split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        let Some(name) = parameter(segment)? else {
            check_literal(segment, is_last)?;
            continue;
        };
        let name = match name.strip_prefix('*') {
            Some(name) if is_last => name,
            Some(_) => return Err(format!("{segment} takes all that follows, so it must come last")),
            None => name,
        };
        check_parameter_name(name)?;
        if names.contains(&name) {
            return Err(format!("the parameter {name:?} stands here twice"));
        }
        names.push(name);
    }
    Ok(names)
}

/// The part of the pattern before its catch-all; `None` without one.
pub fn wildcard_prefix(pattern: &str) -> Option<&str> {
    pattern.find("{*").map(|at| &pattern[..at])
}

/// A path that the pattern matches and that no literal of another pattern is likely to equal.
pub fn sample(pattern: &str) -> String {
    let segment =
        |segment: &str| if segment.starts_with('{') { "~any".to_owned() } else { segment.to_owned() };
    pattern.split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// Whether `path` is `folder` or lies beneath it.
pub fn is_within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What stands between the braces, if the segment is a parameter.
fn parameter(segment: &str) -> Result<Option<&str>, String> {
    if !segment.contains(['{', '}']) {
        return Ok(None);
    }
    let inner = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    match inner {
        Some(name) if !name.contains(['{', '}']) => Ok(Some(name)),
        _ => Err(format!("{segment:?}: a parameter takes a whole segment, like {{id}} or {{*rest}}")),
    }
}

fn check_parameter_name(name: &str) -> Result<(), String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || !name.chars().all(is_plain) {
        return Err(format!("{name:?} isn't the name of a parameter: letters, digits, `_` and `-`"));
    }
    Ok(())
}

/// Requests with such paths are refused before any route is looked at, so that a route for them
/// would protect nothing.
fn check_literal(segment: &str, is_last: bool) -> Result<(), String> {
    if segment.is_empty() && !is_last {
        return Err("`//` never reaches a route".to_owned());
    }
    if segment.ends_with('.') {
        return Err(format!("the segment {segment:?} ends in a dot, which never reaches a route"));
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,=:@".contains(c);
    match segment.chars().find(|c| !is_plain(*c)) {
        Some('%') => Err("percent-escapes can't be matched; use a parameter".to_owned()),
        Some('?' | '#') => Err("a path has no query and no fragment".to_owned()),
        Some(other) => Err(format!("{other:?} never reaches a route within a path")),
        None => Ok(()),
    }
}

/// In lower case; `Err` says what is wrong.
pub fn host(text: &str) -> Result<String, String> {
    if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: std::net::Ipv6Addr =
            address.parse().map_err(|_| format!("{text:?} isn't an IPv6 address"))?;
        return Ok(format!("[{address}]"));
    }
    if text.contains('*') {
        return Err("patterns of hosts aren't supported; name each host, or leave it out".to_owned());
    }
    if text.contains(':') {
        return Err(format!("{text:?}: write the host without scheme and port"));
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let is_label = |label: &str| !label.is_empty() && label.len() <= 63 && label.chars().all(is_plain);
    if text.len() > 253 || !text.split('.').all(is_label) {
        return Err(format!("{text:?} isn't the name of a host"));
    }
    Ok(text.to_ascii_lowercase())
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn patterns_name_their_parameters() {
        let cases: [(&str, &[&str]); 6] = [
            ("/", &[]),
            ("/a/b.json", &[]),
            ("/a/", &[]),
            ("/users/{id}/{*rest}", &["id", "rest"]),
            ("/{a}/{b}", &["a", "b"]),
            ("/.well-known/x", &[]),
        ];

        for (pattern, expected) in cases {
            assert_eq!(parameters(pattern).as_deref(), Ok(expected), "{pattern}");
        }
    }

    #[test]
    fn what_no_request_can_equal_is_refused() {
        for pattern in [
            "",
            "a",
            "//",
            "/a//b",
            "/a//",
            "/.",
            "/..",
            "/a/./b",
            "/a.",
            "/a./b",
            "/%41",
            "/a;b",
            "/a b",
            "/a?b",
            "/a#b",
            "/a\\b",
            "/é",
            "/{*rest}/a",
            "/{}",
            "/{*}",
            "/{a}{b}",
            "/x{a}",
            "/{a}/{a}",
            "/{a",
            "/a}",
            "/{{a}}",
            "/{a b}",
            "/a\"b",
            "/a\u{0}",
        ] {
            assert!(parameters(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn hosts_are_names_without_a_port() {
        assert_eq!(host("API.Example.com"), Ok("api.example.com".to_owned()));
        assert_eq!(host("127.0.0.1"), Ok("127.0.0.1".to_owned()));
        assert_eq!(host("[::1]"), Ok("[::1]".to_owned()));
        for text in ["", "a:80", "http://a", "*.a", "a.", ".a", "a..b", "a b", "[x]", "a/b"] {
            assert!(host(text).is_err(), "{text}");
        }
    }
}
