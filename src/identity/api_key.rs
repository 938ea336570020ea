//! Personal API keys: `pk_` and, in base64url, the key's id, a random secret, and a checksum of both.
//!
//! Only a hash of the secret is stored. It has 256 random bits, so a fast hash is as good as a slow
//! one, and guessing is hopeless. The checksum proves nothing: it tells random and mistyped texts from keys, so that
//! these are refused without asking a store. Keys that were made before have none.

use aws_lc_rs::{constant_time, digest, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::token::TokenError;

/// What every key begins with, so that secret scanners and the gateway know one.
pub const PREFIX: &str = "pk_";
/// Of the text: enough to tell one's keys apart.
const SHOWN: usize = 11;
const ID: usize = 16;
const SECRET: usize = 32;
const UNCHECKED: usize = ID + SECRET;
const CHECKSUM: usize = 6;
const LENGTH: usize = UNCHECKED + CHECKSUM;
/// Multiples of three: base64 has no unused bits here, hence no second spelling.
const _: () = assert!(LENGTH.is_multiple_of(3) && UNCHECKED.is_multiple_of(3));
/// Keeps this hash of the secret apart from the stored one.
const CHECKSUM_CONTEXT: &[u8] = b"portcullis api key checksum";

/// A new key: its text is shown once and kept nowhere.
pub struct Minted {
    pub id: Uuid,
    pub text: Zeroizing<String>,
    pub secret_hash: [u8; 32],
}

/// A presented key, taken apart; whether it is good is for the store to say.
pub struct Opened {
    pub id: Uuid,
    secret_hash: [u8; 32],
}

pub fn mint() -> Minted {
    // Random throughout, so that the shown part differs between keys of one moment.
    let id = Uuid::new_v4();
    let mut bytes = Zeroizing::new([0; LENGTH]);
    bytes[..ID].copy_from_slice(id.as_bytes());
    rand::fill(&mut bytes[ID..UNCHECKED]).expect("the system has randomness");
    let checksum = checksum(&bytes[..UNCHECKED]);
    bytes[UNCHECKED..].copy_from_slice(&checksum);
    let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + LENGTH * 4 / 3));
    text.push_str(PREFIX);
    URL_SAFE_NO_PAD.encode_string(bytes.as_slice(), &mut text);
    Minted { id, secret_hash: hash(&bytes[ID..UNCHECKED]), text }
}

/// `Malformed` for what has not the form of a key, `Invalid` where the checksum is wrong.
pub fn open(text: &str) -> Result<Opened, TokenError> {
    let mut bytes = Zeroizing::new([0; LENGTH]);
    let text = text.strip_prefix(PREFIX).ok_or(TokenError::Malformed)?;
    let written = URL_SAFE_NO_PAD.decode_slice(text, bytes.as_mut_slice());
    match written {
        Ok(LENGTH) if checksum(&bytes[..UNCHECKED]) != bytes[UNCHECKED..] => return Err(TokenError::Invalid),
        Ok(LENGTH | UNCHECKED) => {}
        _ => return Err(TokenError::Malformed),
    }
    let id = Uuid::from_slice(&bytes[..ID]).map_err(|_| TokenError::Malformed)?;
    Ok(Opened { id, secret_hash: hash(&bytes[ID..UNCHECKED]) })
}

/// How a key's text begins, for its owner.
pub fn shown(id: Uuid) -> String {
    let mut text = PREFIX.to_owned();
    URL_SAFE_NO_PAD.encode_string(id.as_bytes(), &mut text);
    text.truncate(SHOWN);
    text
}

impl Opened {
    /// Whether the secret is the one that was hashed, in constant time.
    pub fn matches(&self, secret_hash: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(&self.secret_hash, secret_hash).is_ok()
    }
}

fn hash(secret: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, secret).as_ref());
    hash
}

/// Whoever knows the key can compute it, so that comparing it takes no care.
fn checksum(key: &[u8]) -> [u8; CHECKSUM] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(CHECKSUM_CONTEXT);
    context.update(key);
    let mut checksum = [0; CHECKSUM];
    checksum.copy_from_slice(&context.finish().as_ref()[..CHECKSUM]);
    checksum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_minted_key_opens_and_matches_its_own_hash_only() {
        let (one, other) = (mint(), mint());

        let opened = open(&one.text).unwrap();

        assert_eq!(opened.id, one.id);
        assert!(opened.matches(&one.secret_hash));
        assert!(!opened.matches(&other.secret_hash));
        assert!(!opened.matches(&[]) && !opened.matches(&one.secret_hash[..31]));
        assert!(one.text.starts_with(&shown(one.id)));
        assert_eq!(one.text.len(), 75);
    }

    #[test]
    fn nothing_but_the_very_text_opens() {
        let text = mint().text;
        for odd in [
            format!("{}=", *text),
            format!("{}A", *text),
            format!(" {}", *text),
            text[..74].to_owned(),
            text[..71].to_owned(),
            text[..66].to_owned(),
            text.replacen("pk_", "PK_", 1),
            text.replacen("pk_", "", 1),
            String::new(),
            "pk_".to_owned(),
        ] {
            assert_eq!(open(&odd).err(), Some(TokenError::Malformed), "{odd}");
        }
    }

    #[test]
    fn a_key_without_a_checksum_opens_as_before() {
        let minted = mint();

        let opened = open(&minted.text[..67]).unwrap();

        assert_eq!(opened.id, minted.id);
        assert!(opened.matches(&minted.secret_hash));
    }

    proptest! {
        #[test]
        fn opening_never_panics(text in "\\PC*") {
            let _ = open(&text);
            let _ = open(&format!("{PREFIX}{text}"));
        }

        #[test]
        fn another_character_is_no_key(place in 3usize..75, letter in "[A-Za-z0-9_-]") {
            let minted = mint();
            let mut text = minted.text.to_string();
            prop_assume!(text[place..=place] != letter);
            text.replace_range(place..=place, &letter);
            prop_assert_eq!(open(&text).err(), Some(TokenError::Invalid));
        }
    }
}
