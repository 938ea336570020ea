//! What a new password must be: long enough, not too long, and not among the first guesses. No
//! composition rules (NIST SP 800-63B-4 §3.1.1.2, ASVS 6.2.5).

use super::{common, normalized};
use crate::config::policy::PasswordRules;

/// `Err` says in one sentence what is wrong, for the client.
pub fn check(password: &str, username: &str, rules: &PasswordRules) -> Result<(), String> {
    let password = normalized(password);
    let length = password.chars().count();
    if length < rules.min_length {
        return Err(format!("A password has at least {} characters.", rules.min_length));
    }
    if length > rules.max_length {
        return Err(format!("A password has at most {} characters.", rules.max_length));
    }
    if password.to_lowercase() == username.to_lowercase() {
        return Err("The password is the username; choose another.".to_owned());
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
        assert!(check("Zq4!xöp", "alice", &RULES).unwrap_err().contains("at least 8"));
        assert_eq!(check("Zq4!xöpW", "alice", &RULES), Ok(()));
        assert_eq!(check("парольдлинный", "alice", &RULES), Ok(()));
        assert_eq!(check(&"zq4x".repeat(16), "alice", &RULES), Ok(()));
        assert!(check(&"zq4x7".repeat(13), "alice", &RULES).unwrap_err().contains("at most 64"));
    }

    #[test]
    fn length_counts_after_normalisation() {
        // Eight code points as typed, four once composed.
        assert!(check("e\u{301}e\u{301}e\u{301}e\u{301}", "alice", &RULES).is_err());
    }

    #[test]
    fn nothing_but_length_and_rarity_is_asked() {
        for fine in ["correct horse battery staple", "zqkxvjwmpy", "8264917350284", "  spaces  matter  "] {
            assert_eq!(check(fine, "alice", &RULES), Ok(()), "{fine}");
        }
    }

    #[test]
    fn the_username_is_no_password() {
        assert!(check("Alice.Wonder", "alice.wonder", &RULES).unwrap_err().contains("username"));
    }

    #[test]
    fn common_passwords_are_refused_with_the_reason() {
        assert!(check("Password123!", "alice", &RULES).unwrap_err().contains("most common"));
    }
}
