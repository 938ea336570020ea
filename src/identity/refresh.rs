//! Refresh tokens: opaque to clients, and recognised without asking a store.
//!
//! A token is `prt_` and, in base64url, a version byte, the session's id, the generation within
//! the session, and an HMAC over these. So nothing that a store holds lets its reader make one,
//! garbage costs a hash and no round trip, and the same generation always has the same text:
//! whoever loses the race for a successor gets the very token the winner got.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::config::policy::TokenKey;
use crate::identity::SessionId;
use crate::identity::derived::derive;
use crate::identity::device::DeviceKeys;

const PREFIX: &str = "prt_";
const VERSION: u8 = 1;
/// Version, session, generation.
const SIGNED: usize = 1 + 16 + 8;
const MAC: usize = 32;
const LENGTH: usize = SIGNED + MAC;
/// A multiple of three: base64 has no unused bits here, hence no second spelling.
const _: () = assert!(LENGTH.is_multiple_of(3));

/// Whether the text has the form of a refresh token, good or bad.
pub fn is_one(token: &str) -> bool {
    token.starts_with(PREFIX)
}

/// Derived from the keys of access tokens: the first makes refresh tokens, all recognise them.
pub struct RefreshKeys {
    keys: Vec<hmac::Key>,
    devices: DeviceKeys,
}

impl RefreshKeys {
    /// # Panics
    /// Without keys. [`KeyRing::new`](crate::identity::token::KeyRing::new) refuses that earlier,
    /// in words.
    pub fn new(keys: &[TokenKey]) -> Self {
        assert!(!keys.is_empty(), "refresh tokens need the keys that a KeyRing has accepted");
        Self { keys: keys.iter().map(key).collect(), devices: DeviceKeys::new(keys) }
    }

    /// Those of device cookies, which change with them.
    pub fn devices(&self) -> &DeviceKeys {
        &self.devices
    }

    pub fn mint(&self, session: SessionId, generation: u64) -> String {
        let mut bytes = [0; LENGTH];
        bytes[0] = VERSION;
        bytes[1..17].copy_from_slice(session.as_bytes());
        bytes[17..SIGNED].copy_from_slice(&generation.to_be_bytes());
        let mac = hmac::sign(&self.keys[0], &bytes[..SIGNED]);
        bytes[SIGNED..].copy_from_slice(mac.as_ref());

        let mut token = PREFIX.to_owned();
        URL_SAFE_NO_PAD.encode_string(bytes, &mut token);
        token
    }

    /// `None` for anything we didn't mint; touches no store.
    pub fn open(&self, token: &str) -> Option<(SessionId, u64)> {
        let mut bytes = [0; LENGTH];
        let encoded = token.strip_prefix(PREFIX)?;
        let written = URL_SAFE_NO_PAD.decode_slice(encoded, &mut bytes).ok()?;
        let (signed, mac) = bytes.split_at(SIGNED);
        let is_ours = || self.keys.iter().any(|key| hmac::verify(key, signed, mac).is_ok());
        if written != LENGTH || signed[0] != VERSION || !is_ours() {
            return None;
        }
        let session = Uuid::from_slice(&signed[1..17]).ok()?;
        let generation = u64::from_be_bytes(signed[17..].try_into().ok()?);
        Some((session, generation))
    }
}

fn key(key: &TokenKey) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, derive(key, b"portcullis refresh token v1").as_ref())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::policy::{KeyMaterial, SigningAlgorithm};
    use crate::identity::secret::Secret;

    fn key(secret: &str) -> TokenKey {
        let material = KeyMaterial::Shared(Secret::new(secret));
        TokenKey { id: secret.to_owned(), algorithm: SigningAlgorithm::HS256, material }
    }

    fn keys(secrets: &[&str]) -> RefreshKeys {
        RefreshKeys::new(&secrets.iter().map(|secret| key(secret)).collect::<Vec<_>>())
    }

    #[test]
    fn the_same_generation_is_the_same_text() {
        let session = Uuid::from_u128(7);

        assert_eq!(keys(&["old"]).mint(session, 3), keys(&["old"]).mint(session, 3));
        assert_ne!(keys(&["old"]).mint(session, 3), keys(&["old"]).mint(session, 4));
        assert_ne!(keys(&["old"]).mint(session, 3), keys(&["new"]).mint(session, 3));
    }

    #[test]
    fn tokens_of_an_older_key_still_open_until_it_is_removed() {
        let token = keys(&["old"]).mint(Uuid::from_u128(7), 3);

        assert_eq!(keys(&["new", "old"]).open(&token), Some((Uuid::from_u128(7), 3)));
        assert_eq!(keys(&["new"]).open(&token), None);
    }

    #[test]
    fn a_final_newline_of_a_key_file_makes_no_difference() {
        let pem = |text: &str| TokenKey {
            id: "k".to_owned(),
            algorithm: SigningAlgorithm::EdDSA,
            material: KeyMaterial::PrivatePem(Secret::new(text)),
        };
        let token = RefreshKeys::new(&[pem("--- key ---\n")]).mint(Uuid::from_u128(7), 3);

        assert_eq!(RefreshKeys::new(&[pem("--- key ---")]).open(&token), Some((Uuid::from_u128(7), 3)));
    }

    proptest! {
        #[test]
        fn what_was_minted_opens(session in any::<u128>(), generation in any::<u64>()) {
            let keys = keys(&["secret"]);
            let token = keys.mint(Uuid::from_u128(session), generation);
            prop_assert_eq!(keys.open(&token), Some((Uuid::from_u128(session), generation)));
        }

        #[test]
        fn any_change_is_refused(at in 0usize..80, to in any::<char>(), cut in 0usize..80) {
            let keys = keys(&["secret"]);
            let token = keys.mint(Uuid::from_u128(7), 3);
            let mut changed: Vec<char> = token.chars().collect();
            changed[at] = to;
            let changed: String = changed.into_iter().collect();

            prop_assert_eq!(keys.open(&changed).is_some(), changed == token);
            prop_assert_eq!(keys.open(&token[..cut]), None);
            prop_assert_eq!(keys.open(&format!("{token}{to}")), None);
        }

        #[test]
        fn garbage_is_refused(text in ".{0,120}", tail in "[A-Za-z0-9_-]{76}") {
            let keys = keys(&["secret"]);
            prop_assert_eq!(keys.open(&text), None);
            prop_assert_eq!(keys.open(&format!("prt_{tail}")), None);
        }
    }
}
