//! Bytes that must not be printed.

use std::collections::HashSet;
use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// A secret: wiped when dropped, never shown by `Debug`, without `Display`, and compared in time
/// that doesn't tell how much of it is right.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The bytes themselves. Every call is a place to review.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Whether anybody could guess it: a sample, or a short text repeated. Says nothing about its
/// length.
pub fn is_well_known(secret: &[u8]) -> bool {
    is_sample(secret) || is_repetition(folded(secret).as_bytes())
}

/// A secret that documentation, tutorials or standards print, or the words of such a one.
pub fn is_sample(secret: &[u8]) -> bool {
    let text = folded(secret);
    SAMPLES.iter().any(|sample| sample.eq_ignore_ascii_case(&text)) || is_placeholder(&text)
}

fn folded(secret: &[u8]) -> String {
    String::from_utf8_lossy(secret).trim().to_lowercase()
}

/// Words that stand where a random secret belongs, and too little beside them to be random.
fn is_placeholder(text: &str) -> bool {
    let mut rest: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
    let length = rest.len();
    for word in PLACEHOLDERS {
        rest = rest.replace(word, "");
    }
    rest.len() < length && rest.len() < MIN_RANDOM
}

/// Few different bytes, or a short piece over and over.
pub fn is_repetition(text: &[u8]) -> bool {
    let distinct: HashSet<u8> = text.iter().copied().collect();
    let repeats = |period: usize| period * 2 <= text.len() && text[period..] == text[..text.len() - period];
    distinct.len() < MIN_DISTINCT || (1..=MAX_PERIOD).any(repeats)
}

/// Letters and digits that a secret has left when all placeholder words are taken out of it.
const MIN_RANDOM: usize = 16;
/// Even 32 random hexadecimal digits practically always have more different ones.
const MIN_DISTINCT: usize = 8;
const MAX_PERIOD: usize = 16;

/// Letters and digits only; longer ones before those they contain.
const PLACEHOLDERS: &[&str] = &[
    "abcdefghijklmnopqrstuvwxyz",
    "0123456789abcdef",
    "01234567890",
    "1234567890",
    "qwertyuiop",
    "256bit",
    "384bit",
    "512bit",
    "changemeinproduction",
    "changeinproduction",
    "changeme",
    "changethis",
    "replaceme",
    "replacethis",
    "pleasechange",
    "placeholder",
    "portcullis",
    "development",
    "production",
    "thisisa",
    "donotuse",
    "insecure",
    "example",
    "default",
    "passphrase",
    "password",
    "secret",
    "signing",
    "token",
    "super",
    "your",
    "test",
    "jwt",
    "key",
    "top",
    "not",
    "so",
    "my",
];

/// Whole secrets printed elsewhere, which carry no such word.
const SAMPLES: &[&str] = &[
    // Supabase's default.
    "your-super-secret-jwt-token-with-at-least-32-characters-long",
    // jwt.io's present sample.
    "a-string-secret-at-least-256-bits-long",
    // RFC 7515 A.1 and RFC 7520 §3.5, as printed (base64url).
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
    "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg",
    // The tutorial of FastAPI, copied into countless services.
    "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
    // Widespread Spring Security tutorials.
    "404E635266556A586E3272357538782F413F4428472B4B6250645367566B5970",
    "9a4f2c8d3b7a1e6f45c8a0b3f267d8b1d4e6f3c8a9d2b5f8e3a9c8b5f6v8a3d9",
    // Apache APISIX's default keys (the class of CVE-2022-29266).
    "edd1c9f034335f136f87ad84b625c8f1",
    "4054f7cf07e344346cd3f287985e76a2",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        assert_eq!(format!("{:?}", Secret::new("hunter22")), "Secret(…)");
        assert_eq!(Secret::new("a"), Secret::new("a"));
        assert_ne!(Secret::new("a"), Secret::new("b"));
        assert_ne!(Secret::new("a"), Secret::new("aa"));
    }

    #[test]
    fn samples_placeholders_and_repetitions_are_well_known() {
        for known in [
            "your-256-bit-secret",
            "a-string-secret-at-least-256-bits-long",
            "  A-STRING-SECRET-AT-LEAST-256-BITS-LONG\n",
            "your-super-secret-jwt-token-with-at-least-32-characters-long",
            "your-256-bit-secret-your-256-bit-secret",
            "CHANGE_ME_CHANGE_ME_CHANGE_ME_CHANGE_ME",
            "super-secret-key-for-development-1234",
            "my-jwt-signing-key-not-so-secret",
            "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
            "00000000000000000000000000000000",
            "abcabcabcabcabcabcabcabcabcabcabca",
            "secretsecretsecretsecretsecretsecret",
            "0123456789abcdef0123456789abcdef",
            "",
        ] {
            assert!(is_well_known(known.as_bytes()), "{known:?}");
        }
        assert!(is_well_known(&[0xff; 64]));
    }

    #[test]
    fn random_secrets_are_not() {
        for random in [
            "pJ4w0cQy1mX8tR5uVb2NfKq7sLz9dHgAeYxCoWiTnMk",
            "8f14e45fceea167a5a36dedd4bea2543c2a1f8d7b90e4c36",
            "my-secret-pJ4w0cQy1mX8tR5uVb2NfKq7",
        ] {
            assert!(!is_well_known(random.as_bytes()), "{random}");
        }
    }

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
            assert!(is_sample(sample.as_bytes()) || is_repetition(sample.as_bytes()), "{sample}");
        }
    }

    #[test]
    fn random_secrets_pass() {
        for secret in [
            "4pJmWq0v5hK9sXr2Tn8bYc1dZf6gLa3eUi7oRw+/QkM=",
            "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "correct horse battery staple and then some more",
        ] {
            assert!(!is_sample(secret.as_bytes()) && !is_repetition(secret.as_bytes()), "{secret}");
        }
    }
}
