//! Names of users and roles, and what may stand in an identity header.

use uuid::Uuid;

const MAX_USERNAME: usize = 64;
const MAX_ROLE: usize = 64;
/// RFC 5321 §4.5.3.1.3, less the angle brackets.
const MAX_EMAIL: usize = 254;

/// ASCII only, so that no two names look alike. `Err` says in one sentence what is wrong, for the
/// client.
pub fn check_username(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > MAX_USERNAME {
        return Err(format!("A username has 1 to {MAX_USERNAME} characters."));
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-@+".contains(&byte)) {
        return Err("A username consists of the letters a to z, digits, and . _ - @ +".to_owned());
    }
    if !name.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        return Err("A username starts with a letter or a digit.".to_owned());
    }
    if Uuid::parse_str(name).is_ok() {
        return Err("A username can't have the form of a UUID, which is how user ids look.".to_owned());
    }
    Ok(())
}

/// Whether an address can be kept: something on both sides of one `@`, and nothing that would not
/// survive in a header. Whether mail arrives there is another question.
pub fn check_email(email: &str) -> Result<(), String> {
    let sides = email.split_once('@');
    let is_address =
        sides.is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains('@'));
    match is_address && email.len() <= MAX_EMAIL && fits_header(email) {
        true => Ok(()),
        false => Err(format!(
            "An email address has the form name@domain, in at most {MAX_EMAIL} visible ASCII characters without commas."
        )),
    }
}

/// The form under which a name is looked up and counted: one per user, whatever the case.
pub fn fold(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// Whether it matches `[a-z0-9][a-z0-9_.:-]*`, in at most 64 characters.
pub fn is_role(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= MAX_ROLE
        && name.bytes().next().is_some_and(is_plain)
        && name.bytes().all(|byte| is_plain(byte) || b"_.:-".contains(&byte))
}

/// Whether it reads the same as a header value, alone or in a comma-separated list: visible ASCII
/// without commas, not empty.
pub fn fits_header(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usernames_are_plain_ascii_and_never_look_like_an_id() {
        let longest = "a".repeat(64);
        for good in ["a", "7", "alice", "Alice.B_c-d+e@example.org", longest.as_str(), "dead-beef"] {
            assert_eq!(check_username(good), Ok(()), "{good}");
        }

        let too_long = "a".repeat(65);
        for bad in [
            "",
            " ",
            "-alice",
            ".a",
            "@a",
            "a b",
            "a,b",
            "a\0",
            "a\r\nb",
            "a/b",
            "a:b",
            "älice",
            "аlice",
            "alice\u{200b}",
            "a\"b",
            too_long.as_str(),
            "018f2c6e-7a5b-7c3d-8e9f-0123456789ab",
            "018F2C6E7A5B7C3D8E9F0123456789AB",
        ] {
            assert!(check_username(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_is_the_same_in_any_case() {
        assert_eq!(fold("Alice@Example.ORG"), "alice@example.org");
    }

    #[test]
    fn roles_can_be_joined_with_commas() {
        let longest = "r".repeat(64);
        for good in ["admin", "0", "team:billing.read-only_2", longest.as_str()] {
            assert!(is_role(good), "{good}");
        }

        let too_long = "r".repeat(65);
        for bad in ["", "Admin", "-a", ":a", "a,b", "a b", "a\n", "a\0", "rôle", too_long.as_str()] {
            assert!(!is_role(bad), "{bad:?}");
        }
    }

    #[test]
    fn addresses_survive_in_a_header() {
        for good in ["a@b", "alice+news@example.org"] {
            assert_eq!(check_email(good), Ok(()), "{good}");
        }
        for bad in ["", "alice", "@b", "a@", "a@b@c", "a b@c", "a,b@c", "a@b\r\nx: y", "ä@b"] {
            assert!(check_email(bad).is_err(), "{bad:?}");
        }
    }
}
