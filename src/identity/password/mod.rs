//! Passwords: Argon2id hashes in PHC form, hashes that other programs made, and the rules for new
//! ones.
//!
//! Before hashing and comparing, a password is normalised by NFKC (NIST SP 800-63B-4 §3.1.1.2), so
//! that the same characters typed on another keyboard are the same password. Nothing else is
//! changed or cut. Hashes that other programs made in another way than Argon2 are compared with the
//! password as it was typed, which is what those programs hashed.

mod argon2id;
mod common;
mod imported;
mod rules;

pub use argon2id::Hasher;
pub use rules::check;

use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use crate::config::policy::Argon2Params;

/// PHC string. `params` were checked when the policy was compiled.
pub fn hash(password: &str, params: Argon2Params) -> String {
    Hasher::new(params).hash(password)
}

/// `false` also for hashes of unknown form, and for those that would take absurd resources.
pub fn verify(password: &str, phc: &str) -> bool {
    match is_argon2(phc) {
        true => argon2id::verify(password, phc),
        false => imported::verify(password, phc),
    }
}

/// Whether a hash from elsewhere can be verified at all, and at a cost that a login may have. `Err`
/// says in a sentence what is wrong, without a piece of the hash.
pub fn check_stored(hash: &str) -> Result<(), &'static str> {
    match is_argon2(hash) {
        true => argon2id::check(hash),
        false => imported::check(hash),
    }
}

fn is_argon2(hash: &str) -> bool {
    hash.starts_with("$argon2")
}

/// Whether the hash was made with other parameters than these.
pub fn needs_upgrade(phc: &str, params: Argon2Params) -> bool {
    argon2id::needs_upgrade(phc, params)
}

/// A hash no password matches, to make unknown users cost as much as known ones.
pub fn decoy(params: Argon2Params) -> String {
    argon2id::decoy(params)
}

/// The form that is hashed and checked; wiped when dropped.
fn normalized(password: &str) -> Zeroizing<String> {
    // Room for the usual case, since a buffer that grows leaves copies behind.
    let mut text = String::with_capacity(password.len() * 2);
    match password.is_ascii() {
        true => text.push_str(password),
        false => text.extend(password.nfkc()),
    }
    Zeroizing::new(text)
}
