//! Names of users and roles, and what may stand in an identity header.

use std::borrow::Cow;

use precis_profiles::precis_core::profile::PrecisFastInvocation as _;
use precis_profiles::{UsernameCaseMapped, UsernameCasePreserved};
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;
use unicode_security::{
    GeneralSecurityProfile as _, RestrictionLevel, RestrictionLevelDetection as _, skeleton,
};
use uuid::Uuid;

use super::percent;

pub const MAX_USERNAME: usize = 128;
/// What may stand in a username beside letters and digits.
const SIGNS: &str = "._-@+'";
const MAX_ROLE: usize = 64;

/// The form in which a username is kept, by PRECIS UsernameCasePreserved (RFC 8265 §3.4): narrow and
/// composed, in the user's own case. `Err` says in one sentence what is wrong, for the client.
///
/// Nobody can have a name that another one could be taken for: beside letters, digits and `._-@+'` there
/// is nothing (no invisible characters, above all), the letters are of one script (or of those that are
/// written together, as in Japanese), and not all of them look like Latin ones.
pub fn username(name: &str) -> Result<String, String> {
    let kept = match name.is_ascii() {
        true => name.to_owned(),
        false => UsernameCasePreserved::enforce(name).map_err(|_| CHARACTERS.to_owned())?.into_owned(),
    };
    if kept.is_empty() || kept.chars().count() > MAX_USERNAME {
        return Err(format!("A username has 1 to {MAX_USERNAME} characters."));
    }
    if !kept.chars().all(may_stand_in_username) || (!kept.is_ascii() && repeats_a_mark(&kept)) {
        return Err(CHARACTERS.to_owned());
    }
    if !kept.starts_with(char::is_alphanumeric) {
        return Err("A username starts with a letter or a digit.".to_owned());
    }
    if !kept.is_ascii() && is_confusable(&kept) {
        return Err(
            "This username could be taken for another one: its letters mix scripts, or look like Latin ones."
                .to_owned(),
        );
    }
    if Uuid::parse_str(&kept).is_ok() {
        return Err("A username can't have the form of a UUID, which is how user ids look.".to_owned());
    }
    Ok(kept)
}

/// Whether somebody can have this username; `Err` as in [`username`].
pub fn check_username(name: &str) -> Result<(), String> {
    username(name).map(drop)
}

const CHARACTERS: &str = "A username consists of letters, the digits 0 to 9, and . _ - @ + '";

/// Digits of other scripts can look like one another.
fn may_stand_in_username(sign: char) -> bool {
    match sign.is_ascii() {
        true => sign.is_ascii_alphanumeric() || SIGNS.contains(sign),
        false => sign.identifier_allowed() && !sign.is_numeric(),
    }
}

/// UTS #39 §5.4: the second of two equal marks lies upon the first.
fn repeats_a_mark(name: &str) -> bool {
    let following = name.nfd().skip(1);
    name.nfd().zip(following).any(|(one, next)| one == next && is_combining_mark(one))
}

/// UTS #39 §5.2 and §4. A ligature such as `æ` isn't taken for a Latin letter.
fn is_confusable(name: &str) -> bool {
    let letters: String = name.chars().filter(|sign| !SIGNS.contains(*sign)).collect();
    let looks_latin = |letter: char| {
        let looks: String = skeleton(letter.encode_utf8(&mut [0; 4])).collect();
        looks.len() == 1
    };
    !letters.check_restriction_level(RestrictionLevel::HighlyRestrictive)
        || fold_case(&letters).chars().filter(|letter| !letter.is_ascii()).all(looks_latin)
}

/// The form under which a name is looked up and counted: one per user, whatever the case, by PRECIS
/// UsernameCaseMapped (RFC 8265 §3.3), and whatever the form of a sigma: a capital doesn't tell which of the two small
/// ones it stands for. What can't be a username has such a form, too.
pub fn fold(name: &str) -> String {
    let folded = fold_case(name);
    match folded.contains(FINAL_SIGMA) {
        true => folded.replace(FINAL_SIGMA, SIGMA),
        false => folded,
    }
}

const SIGMA: &str = "σ";
const FINAL_SIGMA: char = 'ς';

/// The same with each sigma as it is written, which is how names were kept before.
pub fn fold_case(name: &str) -> String {
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    UsernameCaseMapped::enforce(name).map_or_else(|_| name.to_lowercase(), Cow::into_owned)
}

/// Whether a username of ours may hold this character of ASCII.
pub fn may_be_ours(byte: u8) -> bool {
    byte.is_ascii() && may_stand_in_username(char::from(byte))
}

/// A username as identity headers say it: whatever isn't visible ASCII, the comma and the percent sign are
/// percent-encoded (RFC 3986 §2.1). Our own usernames hold no comma, space or percent sign; those of other
/// issuers may.
pub fn in_header(username: &str) -> Cow<'_, str> {
    percent::encoded(username, |byte| byte.is_ascii_graphic() && !b"%,".contains(&byte))
}

/// Whether a token of our own may say this username: nothing in it but letters, and what is visible ASCII
/// without commas.
pub fn may_be_told(username: &str) -> bool {
    let is_fit = |byte: u8| !byte.is_ascii() || (byte.is_ascii_graphic() && byte != b',');
    !username.is_empty() && username.bytes().all(is_fit)
}

/// The role of whoever registers, and of accounts for which no other is named.
pub const DEFAULT_ROLE: &str = "user";

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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn usernames_are_letters_and_never_look_like_an_id() {
        let longest = "a".repeat(128);
        for good in [
            "a",
            "o'brien",
            "O'Brien@example.org",
            "7",
            "alice",
            "Alice.B_c-d+e@example.org",
            longest.as_str(),
            "dead-beef",
            "Jürgen",
            "kjær",
            "Владимир.7",
            "Ελένη",
            "ひらがなカタカナ漢字",
            "김철수",
            "אליס",
            "สมชาย",
        ] {
            assert_eq!(username(good), Ok(good.to_owned()), "{good}");
        }

        let too_long = "ä".repeat(129);
        for bad in [
            "'a",
            "o\u{2019}brien",
            "o`brien",
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
            "a\"b",
            "a%b",
            "\u{301}alice",
            too_long.as_str(),
            "018f2c6e-7a5b-7c3d-8e9f-0123456789ab",
            "018F2C6E7A5B7C3D8E9F0123456789AB",
        ] {
            assert!(check_username(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn nobody_can_have_a_name_that_looks_like_anothers() {
        for (why, bad) in [
            ("a Cyrillic a", "\u{430}lice"),
            ("Cyrillic throughout", "\u{440}\u{430}\u{443}\u{440}\u{430}\u{4cf}"),
            ("a Greek o", "b\u{3bf}b"),
            ("Greek throughout", "\u{3bf}\u{3bd}"),
            ("a dotless i", "adm\u{131}n"),
            ("Cherokee capitals", "\u{13aa}\u{13a1}"),
            ("a zero-width space", "ali\u{200b}ce"),
            ("a joiner", "ali\u{200d}ce"),
            ("a soft hyphen", "ali\u{ad}ce"),
            ("a direction override", "\u{202e}ecila"),
            ("a word joiner", "alice\u{2060}"),
            ("a variation selector", "alice\u{fe0f}"),
            ("a Hangul filler", "\u{3164}"),
            ("a mark upon itself", "o\u{308}\u{308}scar"),
            ("digits of another script", "\u{967}\u{968}"),
            ("mathematical letters", "\u{1d41a}lice"),
            ("a slash of another name", "a\u{2044}b"),
            ("an emoji", "alice\u{1f600}"),
        ] {
            assert!(check_username(bad).is_err(), "{why}: {bad:?}");
        }
    }

    #[test]
    fn names_are_kept_composed_and_narrow_in_their_own_case() {
        assert_eq!(username("Ju\u{308}rgen").as_deref(), Ok("J\u{fc}rgen"));
        assert_eq!(username("Ａｌｉｃｅ").as_deref(), Ok("Alice"));
    }

    #[test]
    fn a_name_is_the_same_in_any_case() {
        assert_eq!(fold("Alice@Example.ORG"), "alice@example.org");
        assert_eq!(fold("JU\u{308}RGEN"), fold("jürgen"));
        assert_eq!(fold("ВЛАДИМИР"), "владимир");
        for sigma in ["Μάρκος", "ΜΆΡΚΟΣ", "μάρκοσ", "ΜΑ\u{301}ΡΚΟς"] {
            assert_eq!(fold(sigma), "μάρκοσ", "{sigma}");
        }
        assert_eq!(fold("ΣΊΣΥΦΟΣ"), fold("Σίσυφος"));
        for odd in ["A b", "A\0", "Ä\u{200b}", ""] {
            assert_eq!(fold(odd), odd.to_lowercase(), "{odd:?}");
        }
    }

    #[test]
    fn headers_say_names_in_ascii() {
        assert_eq!(in_header("alice"), "alice");
        assert_eq!(in_header("Jürgen@x"), "J%C3%BCrgen@x");
        assert_eq!(in_header("Müller, Zoë 100%"), "M%C3%BCller%2C%20Zo%C3%AB%20100%25");
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

    proptest! {
        #[test]
        fn what_is_kept_is_taken_again_and_folds_to_one_form(name in "\\PC{0,140}") {
            let folded = fold(&name);
            prop_assert_eq!(fold(&folded), folded.clone());
            if let Ok(kept) = username(&name) {
                prop_assert_eq!(username(&kept), Ok(kept.clone()));
                prop_assert_eq!(fold(&kept), folded);
                prop_assert!(fits_header(&in_header(&kept)));
            }
        }
    }
}
