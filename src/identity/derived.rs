//! Keys made from the keys of access tokens, one for each use.

use aws_lc_rs::hkdf;
use zeroize::Zeroizing;

use crate::config::policy::{KeyMaterial, TokenKey};

/// 256 bits; `purpose` keeps the uses of one secret apart (RFC 5869 §3.2).
pub fn derive(key: &TokenKey, purpose: &[u8]) -> Zeroizing<[u8; 32]> {
    let material = match &key.material {
        KeyMaterial::Shared(secret) => secret.expose(),
        // Whether the file ended in a newline mustn't matter.
        KeyMaterial::PrivatePem(pem) => pem.expose().trim_ascii(),
    };
    let mut derived = Zeroizing::new([0; 32]);
    hkdf::Salt::new(hkdf::HKDF_SHA256, &[])
        .extract(material)
        .expand(&[purpose], hkdf::HKDF_SHA256)
        .and_then(|output| output.fill(derived.as_mut()))
        .expect("one hash length is well below HKDF's limit");
    derived
}
