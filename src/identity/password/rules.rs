//! What a new password must be: long enough, not too long, and not among the first guesses. No
//! composition rules (NIST SP 800-63B-4 §3.1.1.2, ASVS 6.2.5).

use std::collections::HashSet;

use super::{common, normalized};
use crate::config::policy::PasswordRules;

/// What this program is called; somebody will try it.
const SERVICE: &str = "portcullis";

/// `Err` says in one sentence what is wrong, for the client. `context` is what an attacker knows of the
/// account: its names and addresses.
pub fn check(password: &str, context: &[&str], rules: &PasswordRules) -> Result<(), String> {
    let password = normalized(password);
    let length = password.chars().count();
    if length < rules.min_length {
        return Err(format!("A password has at least {} characters.", rules.min_length));
    }
    if length > rules.max_length {
        return Err(format!("A password has at most {} characters.", rules.max_length));
    }
    let context = context.iter().chain([&SERVICE]);
    let known: HashSet<String> = context.flat_map(|text| common::words_of(&normalized(text))).collect();
    if common::is_one_of(&password, &known) {
        return Err(
            "The password is little more than a name or an address that belongs to the account; choose another."
                .to_owned(),
        );
    }
    if common::is_common(&password) {
        return Err(
            "This password is among the most common ones and quickly guessed; choose another.".to_owned()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::policy::Argon2Params;

    const RULES: PasswordRules = PasswordRules {
        min_length: 8,
        max_length: 64,
        argon2: Argon2Params { memory_kib: 64, iterations: 1, parallelism: 1 },
        workers: 1,
        queue: 1,
    };

    #[test]
    fn length_counts_in_characters() {
        assert!(check("Zq4!xöp", &["alice"], &RULES).unwrap_err().contains("at least 8"));
        assert_eq!(check("Zq4!xöpW", &["alice"], &RULES), Ok(()));
        assert_eq!(check("парольдлинный", &["alice"], &RULES), Ok(()));
        assert_eq!(check(&"zq4x".repeat(16), &["alice"], &RULES), Ok(()));
        assert!(check(&"zq4x7".repeat(13), &["alice"], &RULES).unwrap_err().contains("at most 64"));
    }

    #[test]
    fn length_counts_after_normalisation() {
        // Eight code points as typed, four once composed.
        assert!(check("e\u{301}e\u{301}e\u{301}e\u{301}", &["alice"], &RULES).is_err());
    }

    #[test]
    fn nothing_but_length_and_rarity_is_asked() {
        for fine in ["correct horse battery staple", "zqkxvjwmpy", "8264917350284", "  spaces  matter  "] {
            assert_eq!(check(fine, &["alice"], &RULES), Ok(()), "{fine}");
        }
    }

    #[test]
    fn what_is_known_of_the_account_is_no_password() {
        let context = ["alice.wonder", "a.wonderland@kraemer-tools.example"];
        for guessed in [
            "Alice.Wonder",
            "alicewonder",
            "wonderland",
            "Wonderland2026",
            "w0nderl@nd!",
            "dnalrednow",
            "wonderwonder",
            "a.wonderland@kraemer-tools.example",
            "kraemer99",
            "!!kraemer!!",
            "Portcullis1",
            "ＡｌｉｃｅＷｏｎｄｅｒ",
        ] {
            let refused = check(guessed, &context, &RULES);
            assert!(refused.is_err_and(|why| why.contains("belongs to the account")), "{guessed}");
        }
        for fine in ["alice likes wonderland", "kraemer ships tools", "wonderland-2026-09-13"] {
            assert_eq!(check(fine, &context, &RULES), Ok(()), "{fine}");
        }
        assert_eq!(check("wonderland-of-tea", &[], &RULES), Ok(()));
    }

    #[test]
    fn common_passwords_are_refused_with_the_reason() {
        assert!(check("Password123!", &["alice"], &RULES).unwrap_err().contains("most common"));
    }
}
