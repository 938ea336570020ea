//! The device cookie: shows that a browser signed in to an account before. It opens nothing.
//!
//! A cookie is, in base64url, a version, the account's id, the device's id, the second until which it counts,
//! and an HMAC over these. No store is asked to recognise one.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use super::UserId;
use super::derived::derive;
use crate::config::policy::TokenKey;

const VERSION: [u8; 3] = *b"dv1";
/// Version, account, device, end.
const SIGNED: usize = 3 + 16 + 16 + 8;
const LENGTH: usize = SIGNED + 32;
/// A multiple of three: base64 has no unused bits here, hence no second spelling.
const _: () = assert!(LENGTH.is_multiple_of(3));

/// Derived from the keys of access tokens: the first makes cookies, all recognise them.
pub struct DeviceKeys {
    keys: Vec<hmac::Key>,
}

impl DeviceKeys {
    pub fn new(keys: &[TokenKey]) -> Self {
        let key =
            |key| hmac::Key::new(hmac::HMAC_SHA256, derive(key, b"portcullis device cookie v1").as_ref());
        Self { keys: keys.iter().map(key).collect() }
    }

    /// `until` in seconds since the Unix epoch.
    pub fn mint(&self, account: UserId, device: Uuid, until: u64) -> String {
        let mut bytes = [0; LENGTH];
        bytes[..3].copy_from_slice(&VERSION);
        bytes[3..19].copy_from_slice(account.as_bytes());
        bytes[19..35].copy_from_slice(device.as_bytes());
        bytes[35..SIGNED].copy_from_slice(&until.to_be_bytes());
        let mac = hmac::sign(&self.keys[0], &bytes[..SIGNED]);
        bytes[SIGNED..].copy_from_slice(mac.as_ref());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The device, if the cookie is ours, of this account, and still counts.
    pub fn open(&self, cookie: &str, account: UserId, now: u64) -> Option<Uuid> {
        let mut bytes = [0; LENGTH];
        let written = URL_SAFE_NO_PAD.decode_slice(cookie, &mut bytes).ok()?;
        let (signed, mac) = bytes.split_at(SIGNED);
        let is_ours = || self.keys.iter().any(|key| hmac::verify(key, signed, mac).is_ok());
        if written != LENGTH || signed[..3] != VERSION || !is_ours() {
            return None;
        }
        let until = u64::from_be_bytes(signed[35..].try_into().ok()?);
        if signed[3..19] != *account.as_bytes() || now >= until {
            return None;
        }
        Uuid::from_slice(&signed[19..35]).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::policy::{KeyMaterial, SigningAlgorithm};
    use crate::identity::secret::Secret;

    const ACCOUNT: Uuid = Uuid::from_u128(7);
    const DEVICE: Uuid = Uuid::from_u128(9);

    fn keys(secrets: &[&str]) -> DeviceKeys {
        let key = |secret: &&str| TokenKey {
            id: (*secret).to_owned(),
            algorithm: SigningAlgorithm::HS256,
            material: KeyMaterial::Shared(Secret::new(*secret)),
        };
        DeviceKeys::new(&secrets.iter().map(key).collect::<Vec<_>>())
    }

    #[test]
    fn a_cookie_counts_for_its_account_until_its_end() {
        let cookie = keys(&["old"]).mint(ACCOUNT, DEVICE, 100);

        assert_eq!(keys(&["old"]).open(&cookie, ACCOUNT, 99), Some(DEVICE));
        assert_eq!(keys(&["new", "old"]).open(&cookie, ACCOUNT, 99), Some(DEVICE));
        assert_eq!(keys(&["old"]).open(&cookie, ACCOUNT, 100), None);
        assert_eq!(keys(&["old"]).open(&cookie, DEVICE, 99), None);
        assert_eq!(keys(&["new"]).open(&cookie, ACCOUNT, 99), None);
    }

    #[test]
    fn what_we_did_not_make_is_no_cookie() {
        let keys = keys(&["secret"]);
        let cookie = keys.mint(ACCOUNT, DEVICE, 100);
        for at in 0..cookie.len() {
            let mut changed = cookie.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII");
            assert_eq!(keys.open(&changed, ACCOUNT, 99), None, "{changed}");
        }
        for odd in ["", "x", &cookie[1..], &format!("{cookie}A"), &"A".repeat(500)] {
            assert_eq!(keys.open(odd, ACCOUNT, 99), None, "{odd}");
        }
    }
}
