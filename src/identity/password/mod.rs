//! Passwords: Argon2id hashes in PHC form, hashes that other programs made, and the rules for new
//! ones.
//!
//! Before hashing, a password is normalised by NFKC (NIST SP 800-63B-4 §3.1.1.2), so that the same
//! characters typed on another keyboard are the same password. Nothing else is changed or cut. A
//! stored hash is compared with the password as it was typed, which is what most other programs
//! hashed, and then with its NFKC form.

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
pub fn verify(password: &str, stored: &str) -> bool {
    let stored = without_framework(stored);
    match is_argon2(stored) {
        true => argon2id::verify(password, stored),
        false => imported::verify(password, stored),
    }
}

/// Whether a hash from elsewhere can be verified at all, and at a cost that a login may have. `Err`
/// says in a sentence what is wrong, without a piece of the hash.
pub fn check_stored(stored: &str) -> Result<(), &'static str> {
    let stored = without_framework(stored);
    match is_argon2(stored) {
        true => argon2id::check(stored),
        false => imported::check(stored),
    }
}

/// Whether verifying it takes so long, half a second or more, that other logins shouldn't wait for it.
pub fn is_expensive(stored: &str) -> bool {
    let stored = without_framework(stored);
    match is_argon2(stored) {
        true => argon2id::is_expensive(stored),
        false => imported::is_expensive(stored),
    }
}

/// The hash without what a framework writes before it: `argon2$argon2id$…` and `bcrypt$$2b$…` of
/// Django, `{bcrypt}$2a$…` of Spring Security.
fn without_framework(stored: &str) -> &str {
    const SPRING: [&str; 3] = ["{bcrypt}", "{argon2}", "{argon2@SpringSecurity_v5_8}"];
    if let Some(hash) = SPRING.iter().find_map(|id| stored.strip_prefix(id)) {
        return hash;
    }
    let django = stored.strip_prefix("argon2").or_else(|| stored.strip_prefix("bcrypt$"));
    django.filter(|hash| hash.starts_with('$')).unwrap_or(stored)
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

/// Whether it matches as it was typed, or in its NFKC form where that is another text. How often a
/// wrong password is tried depends on the password alone.
fn matches_in_any_form(password: &str, mut matches: impl FnMut(&str) -> bool) -> bool {
    let normalized = normalized(password);
    matches(password) || (*normalized != *password && matches(&normalized))
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
