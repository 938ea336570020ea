//! Tokens that work once: `pot_` and, in base64url, 256 random bits. Only a hash of them is stored, a fast
//! one, since guessing is hopeless.

use aws_lc_rs::{digest, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

const PREFIX: &str = "pot_";

/// The text of a new one; it is handed out and kept nowhere.
pub fn mint() -> Zeroizing<String> {
    let mut secret = Zeroizing::new([0; 32]);
    rand::fill(secret.as_mut()).expect("the system has randomness");
    let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + 43));
    text.push_str(PREFIX);
    URL_SAFE_NO_PAD.encode_string(secret.as_ref(), &mut text);
    text
}

/// What is stored of a token. Of any other text, something that isn't stored.
pub fn hash(text: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_tokens_are_alike() {
        let (one, other) = (mint(), mint());

        assert!(one.starts_with(PREFIX) && one.len() == 47);
        assert_ne!(hash(&one), hash(&other));
        assert_eq!(hash(&one), hash(&one.clone()));
    }
}
