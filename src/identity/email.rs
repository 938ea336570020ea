//! Email addresses as they are kept: what is kept is what mail is sent to.

use lettre::Address;

use super::name;

/// RFC 5321 §4.5.3.1.3, less the angle brackets.
const MAX_ADDRESS: usize = 254;
/// RFC 1035 §2.3.4.
const MAX_LABEL: usize = 63;

/// The address as it is kept, mailed to and told in headers: a dot-atom (RFC 5322 §3.2.3), `@`, and the name of a
/// host. Display names, quoted names, address literals and letters beyond ASCII are refused; a domain of such letters
/// is written in its ASCII form (`xn--…`). `Err` says in one sentence what is wrong, for the client.
pub fn parse(text: &str) -> Result<String, String> {
    let is_mailable = |address: &Address| is_plain(address.user()) && is_host(address.domain());
    let address = text.parse::<Address>().ok().filter(is_mailable);
    match address.map(|address| address.to_string()) {
        Some(kept) if kept.len() <= MAX_ADDRESS && name::fits_header(&kept) => Ok(kept),
        _ => Err(format!(
            "An email address has the form name@example.org, in at most {MAX_ADDRESS} ASCII characters; a domain with \
             other letters is written in its ASCII form, xn--…"
        )),
    }
}

/// Under which mails to an address are counted, and under which it is looked up.
pub fn key(address: &str) -> String {
    address.to_ascii_lowercase()
}

/// Atoms joined by single dots; the parser has checked the length.
fn is_plain(user: &str) -> bool {
    let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    user.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_sign))
}

/// RFC 1123 §2.1. No top-level domain begins with a digit, and addresses in numbers do.
fn is_host(domain: &str) -> bool {
    let is_label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = domain.rsplit('.').next().unwrap_or_default();
    domain.split('.').all(is_label) && last.starts_with(|first: char| first.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_kept_as_they_are_mailed_to() {
        let longest_name = format!("{}@example.org", "a".repeat(64));
        for good in [
            "a@b",
            "root@localhost",
            "Alice+news@Example.org",
            "o'brien@example.org",
            "a.b_c-d@mail.xn--mnchen-3ya.example",
            "{x}=/?^`|~!#$%&*@example.org",
            longest_name.as_str(),
        ] {
            assert_eq!(parse(good), Ok(good.to_owned()), "{good}");
        }
    }

    #[test]
    fn what_can_never_be_mailed_or_goes_to_another_address_is_refused() {
        let (long_name, long_label) = (format!("{}@b", "a".repeat(65)), format!("a@{}", "b".repeat(64)));
        let long = format!("a@{}b", "b.".repeat(130));
        for bad in [
            "",
            "alice",
            "@b",
            "a@",
            "a@b@c",
            "x0<victim@example.org>",
            "<victim@example.org>",
            "Alice <alice@example.org>",
            "a..b@x",
            ".a@x",
            "a.@x",
            "a@b..c",
            "a@.b",
            "a@b.",
            "a@-b",
            "a@b-",
            "a@b_c",
            "user@[192.0.2.1]",
            "user@[IPv6:2001:db8::1]",
            "user@192.0.2.1",
            "\"a b\"@x",
            "\"a\"@x",
            "a(comment)@x",
            "a b@c",
            " a@b",
            "a@b ",
            "a,b@c",
            "a;b@c",
            "a:b@c",
            "a\\b@c",
            "a@b\r\nx: y",
            "a@b\0",
            "ä@b",
            "a@münchen.example",
            "a%00@b\u{7f}",
            long_name.as_str(),
            long_label.as_str(),
            long.as_str(),
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_kept_is_taken_again_and_is_its_own_mailbox(text in "[a-zA-Z0-9.@<>\"' +_()\\[\\]-]{0,40}") {
            if let Ok(kept) = parse(&text) {
                prop_assert_eq!(&kept, &text);
                let mailbox: lettre::message::Mailbox = kept.parse().expect("an address");
                prop_assert_eq!(mailbox.to_string(), kept);
            }
        }
    }
}
