//! The first guesses of an attacker (ASVS 6.2.4): the words of `common.txt` and those that the account
//! itself suggests, alone, doubled, backwards, with digits or signs around them or in place of letters,
//! and runs over the keyboard or the alphabet. Rules cover the many thousand spellings that a flat list
//! would have to enumerate. It is always the whole password that is compared (NIST SP 800-63B-4
//! §3.1.1.2): a common word within a longer one is no fault.

use std::collections::HashSet;
use std::sync::LazyLock;

/// One in a line, lower case, sorted; zxcvbn's list and some more. See `common.LICENSE.txt`.
static WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| include_str!("common.txt").lines().collect());

/// Rows, columns and sequences that are typed forwards or backwards.
const RUNS: &[&str] = &[
    "01234567890123456789",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiop[]",
    "asdfghjkl;'",
    "zxcvbnm,./",
    "qwertzuiop",
    "azertyuiop",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
    "qazwsxedcrfvtgbyhnujmikolp",
    "q1w2e3r4t5y6u7i8o9p0",
    "1q2w3e4r5t6y7u8i9o0p",
    "a1b2c3d4e5f6g7h8",
    "qweasdzxc",
    "qwerty1234567890",
    "!@#$%^&*()_+",
];

/// More than so many digits and signs around a word make it a password of its own.
const MAX_AFFIX: usize = 5;
/// Shorter parts of a name, such as initials, are no words.
const MIN_WORD: usize = 3;

pub fn is_common(password: &str) -> bool {
    let lower = password.to_lowercase();
    is_made_of(&lower, |word| WORDS.contains(word)) || is_run(&lower) || is_repetition(&lower)
}

/// Whether it is one of these words, in a spelling that somebody would try.
pub fn is_one_of(password: &str, words: &HashSet<String>) -> bool {
    is_made_of(&password.to_lowercase(), |word| words.contains(word))
}

/// The words of a name or an address, such as `alice`, `wonder`, `alicewonder` and the whole of
/// `alice.wonder`.
pub fn words_of(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let words = lower.split(|sign: char| !sign.is_alphanumeric());
    let joined: String = words.clone().collect();
    let words = words.map(str::to_owned).chain([joined, lower.clone()]);
    words.filter(|word| word.chars().count() >= MIN_WORD).collect()
}

fn is_made_of(lower: &str, is_known: impl Fn(&str) -> bool) -> bool {
    let backwards: String = lower.chars().rev().collect();
    let plain = unleet(lower);
    let is_word = |text: &str| is_known(text) || half(text).is_some_and(&is_known);
    [lower, plain.as_str(), backwards.as_str()]
        .into_iter()
        .any(|text| is_word(text) || is_word(strip_affixes(text)))
}

/// One half of a text that repeats it.
fn half(text: &str) -> Option<&str> {
    let (first, second) = text.split_at_checked(text.len() / 2)?;
    (first == second).then_some(first)
}

/// The letters inside, when few digits and signs surround them; otherwise all of it.
fn strip_affixes(text: &str) -> &str {
    let letters = text.trim_matches(|sign: char| !sign.is_alphabetic());
    match text.len() - letters.len() <= MAX_AFFIX {
        true => letters,
        false => text,
    }
}

/// The letters that digits and signs stand for in `p@ssw0rd`. Digits at the end stay: they are a
/// number there.
fn unleet(text: &str) -> String {
    let body = text.trim_end_matches(|sign: char| !sign.is_alphabetic());
    let letters = body.chars().map(|sign| match sign {
        '0' => 'o',
        '1' | '!' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        other => other,
    });
    letters.chain(text[body.len()..].chars()).collect()
}

/// Made of pieces of runs, at least four signs each: `qwerty12345`, `abcd4321`, `1qaz2wsx`.
fn is_run(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let piece = longest_run(rest);
        if piece < 4 {
            return false;
        }
        rest = &rest[piece..];
    }
    true
}

/// Bytes at the start of `text` that lie on one run, either way.
fn longest_run(text: &str) -> usize {
    let ends = text.char_indices().map(|(at, sign)| at + sign.len_utf8());
    ends.take_while(|&end| {
        let backwards: String = text[..end].chars().rev().collect();
        RUNS.iter().any(|run| run.contains(&text[..end]) || run.contains(&backwards))
    })
    .last()
    .unwrap_or(0)
}

/// `aaaaaaaa`, `12121212`, `abcabcabc`: up to three signs, over and over.
fn is_repetition(text: &str) -> bool {
    let signs: Vec<char> = text.chars().collect();
    (1..=3).any(|unit| signs.len() > unit && signs[unit..] == signs[..signs.len() - unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_lower_case_and_sorted() {
        let lines: Vec<_> = include_str!("common.txt").lines().collect();

        assert!(lines.is_sorted_by(|one, next| one < next));
        assert!(lines.iter().all(|line| line.len() >= 3 && *line == line.to_lowercase()));
        assert!(lines.len() >= 40_000);
    }

    #[test]
    fn what_everybody_tries_first_is_common() {
        for common in [
            "password",
            "Password1",
            "PASSWORD123!",
            "p@ssw0rd",
            "Passw0rd2024",
            "passwordpassword",
            "12345678",
            "123456789",
            "1234567890",
            "87654321",
            "11111111",
            "00000000",
            "12121212",
            "abcabcabc",
            "qwertyuiop",
            "qwerty123",
            "Qwerty12345",
            "1qaz2wsx",
            "1q2w3e4r5t",
            "q1w2e3r4",
            "zaq12wsx",
            "abcd1234",
            "abcdefgh",
            "iloveyou",
            "iloveyou2",
            "sunshine",
            "princess1",
            "football",
            "baseball1",
            "welcome1",
            "Welcome2025!",
            "monkey123",
            "dragon12",
            "letmein1",
            "trustno1",
            "superman",
            "batman123",
            "starwars",
            "whatever",
            "computer",
            "michelle",
            "jennifer",
            "liverpool",
            "chelsea1",
            "admin123",
            "administrator",
            "changeme",
            "Summer2024",
            "Winter2023!",
            "master123",
            "shadow12",
            "charlie1",
            "jordan23",
            "pokemon1",
            "passw0rd",
            "secret123",
            "default1",
            "qazwsxedc",
            "asdfghjkl",
            "zxcvbnm1",
            "access14",
            "!@#$%^&*",
            "qwertzuiop",
            "drowssap",
            "321drowssaP",
            "kristina",
            "montecarlo1",
        ] {
            assert!(is_common(common), "{common}");
        }
    }

    #[test]
    fn names_and_addresses_are_taken_apart() {
        assert_eq!(
            words_of("Alice.Wonder@example.org"),
            ["alice", "wonder", "example", "org", "alicewonderexampleorg", "alice.wonder@example.org"]
        );
        assert_eq!(words_of("a-b"), ["a-b"]);
        assert!(words_of("").is_empty());
    }

    #[test]
    fn what_nobody_tries_first_is_not() {
        for rare in [
            "correct horse battery staple",
            "dragon-lamp-orbit",
            "x7Kq!m2Zp",
            "8264917350284",
            "monkey84629173",
            "été à la plage",
            "пароль которого нет",
            "password manager user 9",
            "abcxyz-lantern",
        ] {
            assert!(!is_common(rare), "{rare}");
        }
    }
}
