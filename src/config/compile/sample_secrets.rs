//! Secrets that everybody knows: out of tutorials, examples and default settings.

/// Lower case, letters and digits only.
const PHRASES: [&str; 28] = [
    "your256bitsecret",
    "your384bitsecret",
    "your512bitsecret",
    "yoursecretkey",
    "yourjwtsecret",
    "yoursecret",
    "mysecretkey",
    "mysecret",
    "supersecretkey",
    "supersecret",
    "topsecret",
    "jwtsecretkey",
    "jwtsecret",
    "secretkey",
    "portcullis",
    "changemeinproduction",
    "changeme",
    "changethis",
    "replaceme",
    "pleasechange",
    "notsosecret",
    "development",
    "example",
    "password",
    "insecure",
    "default",
    "secret",
    "test",
];

/// What a real secret still has when all of these are taken out.
const MIN_REST: usize = 16;

/// Whether the secret is little more than phrases that everybody knows.
pub fn is_sample(secret: &str) -> bool {
    let mut rest: String =
        secret.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let length = rest.len();
    for phrase in PHRASES {
        rest = rest.replace(phrase, "");
    }
    rest.len() < length && rest.len() < MIN_REST
}

/// Few different bytes, or a short piece over and over.
pub fn is_repetition(bytes: &[u8]) -> bool {
    let mut distinct = bytes.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let has_period =
        |period: usize| period * 2 <= bytes.len() && bytes[period..] == bytes[..bytes.len() - period];
    distinct.len() < 8 || (1..=16).any(has_period)
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn sample_secrets_are_recognised_in_every_dress() {
        let samples = [
            "your-256-bit-secret",
            "your-256-bit-secret-your-256-bit-secret",
            "a-string-secret-at-secret-change-me",
            "CHANGE_ME_CHANGE_ME_CHANGE_ME_CHANGE_ME",
            "super-secret-key-for-development-1234",
            "00000000000000000000000000000000",
            "01234567890123456789012345678901",
        ];

        for sample in samples {
            assert!(is_sample(sample) || is_repetition(sample.as_bytes()), "{sample}");
        }
    }

    #[test]
    fn random_secrets_pass() {
        for secret in [
            "4pJmWq0v5hK9sXr2Tn8bYc1dZf6gLa3eUi7oRw+/QkM=",
            "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "correct horse battery staple and then some more",
        ] {
            assert!(!is_sample(secret) && !is_repetition(secret.as_bytes()), "{secret}");
        }
    }
}
