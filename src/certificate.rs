//! A server's certificate with its private key, ready for the TLS library. What the library can't use is
//! refused here with a reason, so that `validate` and a reload find it before a listener does.

mod facts;

use std::fmt;
use std::sync::Arc;

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};

pub use self::facts::Facts;

const USABLE_KEYS: &str = "RSA of 2048 bits or more, ECDSA P-256 or P-384, or Ed25519";

/// The chain and the key belong together, and the library takes both.
pub struct Certificate {
    certified: Arc<CertifiedKey>,
    pub facts: Facts,
}

/// Which of the two files is wrong, and why. Never holds a part of their content.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    Certificate(String),
    Key(String),
}

impl Certificate {
    /// Both as PEM texts: the chain with the server's own certificate first, and the private key.
    pub fn read(chain: &str, key: &str) -> Result<Self, Fault> {
        let chain = read_chain(chain).map_err(Fault::Certificate)?;
        let facts = Facts::read(&chain).map_err(Fault::Certificate)?;
        let key = read_key(key).map_err(Fault::Key)?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) => Ok(Self { certified: Arc::new(certified), facts }),
            Err(_) => Err(mismatch(&certified)),
        }
    }

    pub fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }
}

/// The key belongs to the first certificate, so the chain says all.
impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.certified.cert == other.certified.cert
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("facts", &self.facts).finish_non_exhaustive()
    }
}

/// Whether any of these certificates is that of an authority. `Err` if they can't be used at all.
pub fn hold_authority(text: &str) -> Result<bool, String> {
    let mut is_any = false;
    for (index, certificate) in read_chain(text)?.iter().enumerate() {
        is_any |= facts::is_authority(certificate)
            .ok_or_else(|| format!("certificate {} is damaged", index + 1))?;
    }
    Ok(is_any)
}

fn read_chain(text: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    refuse_byte_order_mark(text)?;
    let blocks: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let chain = blocks.map_err(|_| "a PEM block is damaged or cut off".to_owned())?;
    if chain.is_empty() { Err("holds no PEM block `CERTIFICATE`".to_owned()) } else { Ok(chain) }
}

fn read_key(text: &str) -> Result<Arc<dyn SigningKey>, String> {
    refuse_byte_order_mark(text)?;
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err("the key is encrypted; decrypt it with `openssl pkey -in KEY -out DECRYPTED`".to_owned());
    }
    if !text.contains("PRIVATE KEY-----") {
        return Err("holds no PEM block `PRIVATE KEY`".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes());
    let key = key.map_err(|_| "the PEM block is damaged or cut off".to_owned())?;
    any_supported_type(&key)
        .map_err(|_| format!("the TLS library can't use this key; it takes {USABLE_KEYS}"))
}

/// Editors on Windows write one, and then no block begins at the start of a line.
fn refuse_byte_order_mark(text: &str) -> Result<(), String> {
    match text.starts_with('\u{feff}') {
        true => Err("begins with a byte order mark; save it as UTF-8 without one".to_owned()),
        false => Ok(()),
    }
}

fn mismatch(certified: &CertifiedKey) -> Fault {
    let spki = certified.key.public_key();
    let is_its = |certificate: &CertificateDer<'_>| {
        let public = facts::public_key(certificate);
        public.is_some() && public.as_deref() == spki.as_deref()
    };
    match certified.cert.iter().position(is_its) {
        Some(at) => Fault::Certificate(format!(
            "the chain is in the wrong order: the key belongs to certificate {}, which must be the first",
            at + 1
        )),
        None => Fault::Key("the key belongs to another certificate".to_owned()),
    }
}

#[cfg(test)]
mod tests;
