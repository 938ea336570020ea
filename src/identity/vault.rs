//! Secrets that the account store keeps and can't read: sealed with AES-256-GCM by a key that is derived
//! from those of access tokens, for one account each.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use zeroize::Zeroizing;

use super::UserId;
use super::derived::derive;
use crate::config::policy::TokenKey;

const PURPOSE: &[u8] = b"portcullis second factor v1";

/// The first key seals, all open.
pub struct Vault {
    keys: Vec<RandomizedNonceKey>,
}

/// What was sealed, and whether by a key other than the first, which may go some day.
pub struct Opened {
    pub secret: Zeroizing<Vec<u8>>,
    pub is_by_older_key: bool,
}

impl Vault {
    /// # Panics
    /// Without keys. [`KeyRing::new`](crate::identity::token::KeyRing::new) refuses that earlier,
    /// in words.
    pub fn new(keys: &[TokenKey]) -> Self {
        assert!(!keys.is_empty(), "a vault needs the keys that a KeyRing has accepted");
        let key = |key: &TokenKey| {
            RandomizedNonceKey::new(&AES_256_GCM, derive(key, PURPOSE).as_ref()).expect("32 bytes")
        };
        Self { keys: keys.iter().map(key).collect() }
    }

    pub fn seal(&self, secret: &[u8], owner: UserId) -> Vec<u8> {
        let mut sealed = secret.to_vec();
        let nonce = self.keys[0]
            .seal_in_place_append_tag(Aad::from(owner.as_bytes()), &mut sealed)
            .expect("so short a text can be sealed");
        [nonce.as_ref().as_slice(), &sealed].concat()
    }

    /// `None` if it was sealed for somebody else, or by a key that is gone, or isn't whole.
    pub fn open(&self, sealed: &[u8], owner: UserId) -> Option<Opened> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        self.keys.iter().enumerate().find_map(|(index, key)| {
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            let mut text = Zeroizing::new(sealed.to_vec());
            let length = key.open_in_place(nonce, Aad::from(owner.as_bytes()), &mut text).ok()?.len();
            text.truncate(length);
            Some(Opened { secret: text, is_by_older_key: index > 0 })
        })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::config::policy::{KeyMaterial, SigningAlgorithm};
    use crate::identity::secret::Secret;

    fn vault(secrets: &[&str]) -> Vault {
        let key = |secret: &&str| TokenKey {
            id: (*secret).to_owned(),
            algorithm: SigningAlgorithm::HS256,
            material: KeyMaterial::Shared(Secret::new(*secret)),
        };
        Vault::new(&secrets.iter().map(key).collect::<Vec<_>>())
    }

    #[test]
    fn what_was_sealed_opens_for_its_owner_only() {
        let (alice, bob) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let sealed = vault(&["one"]).seal(b"secret", alice);

        let opened = vault(&["one"]).open(&sealed, alice).unwrap();

        assert_eq!((opened.secret.as_slice(), opened.is_by_older_key), (&b"secret"[..], false));
        assert!(vault(&["one"]).open(&sealed, bob).is_none());
        assert!(vault(&["other"]).open(&sealed, alice).is_none());
        assert_ne!(vault(&["one"]).seal(b"secret", alice), sealed, "never the same twice");
    }

    #[test]
    fn an_older_key_still_opens() {
        let alice = Uuid::from_u128(1);
        let sealed = vault(&["old"]).seal(b"secret", alice);

        assert!(vault(&["new", "old"]).open(&sealed, alice).unwrap().is_by_older_key);
    }

    #[test]
    fn what_isnt_whole_stays_shut() {
        let alice = Uuid::from_u128(1);
        let sealed = vault(&["one"]).seal(b"secret", alice);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(vault(&["one"]).open(&changed, alice).is_none());
            assert!(vault(&["one"]).open(&sealed[..at], alice).is_none());
        }
    }
}
