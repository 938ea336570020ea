//! Hashes of bcrypt, PBKDF2 and scrypt that other programs made, in the forms in which they keep
//! them. They are only ever verified: the first good login replaces them.

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2::{self, PBKDF2_HMAC_SHA256, PBKDF2_HMAC_SHA512};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::matches_in_any_form;

pub const UNKNOWN: &str = "The hash has none of the known forms.";
pub const DAMAGED: &str = "The hash is damaged or has parameters that don't exist.";
pub const UNBEARABLE: &str = "The hash asks for more work or memory than a login may cost.";

/// What one verification may cost at most: a second or two, and 256 MiB. The usual parameters are
/// far below.
const MAX_BCRYPT_COST: u32 = 15;
const MAX_PBKDF2_ROUNDS: u64 = 4_000_000;
const MAX_SCRYPT_MEMORY: u64 = 256 * 1024 * 1024;
const MAX_SCRYPT_WORK: u64 = 1024 * 1024 * 1024;

/// More takes longer than half a second.
const CHEAP_BCRYPT_COST: u32 = 12;
const CHEAP_PBKDF2_ROUNDS: u32 = 1_200_000;
const CHEAP_SCRYPT_WORK: u64 = 192 * 1024 * 1024;

const MAX_TEXT: usize = 1024;
/// Shorter ones would match by chance; nobody makes longer ones.
const HASH_BYTES: std::ops::RangeInclusive<usize> = 16..=64;

pub fn verify(password: &str, text: &str) -> bool {
    let Ok(stored) = Imported::parse(text) else { return false };
    matches_in_any_form(password, |form| stored.matches(form))
}

pub fn is_expensive(text: &str) -> bool {
    Imported::parse(text).is_ok_and(|stored| stored.is_expensive())
}

/// `Err` says why it can never verify.
pub fn check(text: &str) -> Result<(), &'static str> {
    Imported::parse(text).map(drop)
}

/// A stored hash that we are willing to compute again.
enum Imported<'a> {
    /// The whole text.
    Bcrypt(&'a str),
    /// Of the SHA-256 of the password, in hexadecimal, as Django makes it.
    BcryptOfSha256(&'a str),
    Derived {
        by: Derivation,
        salt: Vec<u8>,
        hash: Vec<u8>,
    },
}

enum Derivation {
    Pbkdf2(pbkdf2::Algorithm, NonZeroU32),
    Scrypt(scrypt::Params),
}

impl<'a> Imported<'a> {
    fn parse(text: &'a str) -> Result<Self, &'static str> {
        if text.len() > MAX_TEXT {
            return Err(UNKNOWN);
        }
        let fields: Vec<_> = text.split('$').collect();
        match *fields.as_slice() {
            ["", "2a" | "2b" | "2y", ..] => bcrypt_hash(text).map(Self::Bcrypt),
            ["bcrypt_sha256", "", "2a" | "2b" | "2y", ..] => {
                bcrypt_hash(&text["bcrypt_sha256$".len()..]).map(Self::BcryptOfSha256)
            }
            // The PHC form and the one of passlib, whose Base64 has a full stop for the plus sign.
            ["", method @ ("pbkdf2-sha256" | "pbkdf2-sha512"), params, salt, hash] => {
                let (rounds, length) = phc_rounds(params)?;
                let hash = base64(hash)?;
                if length.is_some_and(|length| length != hash.len()) {
                    return Err(DAMAGED);
                }
                Self::pbkdf2(&method["pbkdf2-".len()..], rounds, base64(salt)?, hash)
            }
            ["", "scrypt", params, salt, hash] => {
                let (log_n, r, p) = phc_scrypt(params)?;
                Self::scrypt(log_n, r, p, base64(salt)?, base64(hash)?)
            }
            // Django, where the salt is text.
            ["pbkdf2_sha256", rounds, salt, hash] => {
                Self::pbkdf2("sha256", number(rounds)?, salt.into(), base64(hash)?)
            }
            [method, salt, hash] => Self::werkzeug(method, salt, hash),
            _ => Err(UNKNOWN),
        }
    }

    /// `pbkdf2:sha256:600000` or `scrypt:32768:8:1`, a salt that is text, and a hash in hexadecimal.
    fn werkzeug(method: &str, salt: &str, hash: &str) -> Result<Self, &'static str> {
        let method: Vec<_> = method.split(':').collect();
        match *method.as_slice() {
            ["pbkdf2", digest @ ("sha256" | "sha512"), rounds] => {
                Self::pbkdf2(digest, number(rounds)?, salt.into(), hexadecimal(hash)?)
            }
            ["scrypt", n, r, p] => {
                let n = number(n)?;
                if !n.is_power_of_two() {
                    return Err(DAMAGED);
                }
                Self::scrypt(n.ilog2(), number(r)?, number(p)?, salt.into(), hexadecimal(hash)?)
            }
            _ => Err(UNKNOWN),
        }
    }

    fn pbkdf2(digest: &str, rounds: u32, salt: Vec<u8>, hash: Vec<u8>) -> Result<Self, &'static str> {
        let (algorithm, block) = match digest {
            "sha256" => (PBKDF2_HMAC_SHA256, 32),
            _ => (PBKDF2_HMAC_SHA512, 64),
        };
        // Every block of output takes all the rounds again.
        if u64::from(rounds) * hash.len().div_ceil(block) as u64 > MAX_PBKDF2_ROUNDS {
            return Err(UNBEARABLE);
        }
        let rounds = NonZeroU32::new(rounds).ok_or(DAMAGED)?;
        Self::derived(Derivation::Pbkdf2(algorithm, rounds), salt, hash)
    }

    fn scrypt(log_n: u32, r: u32, p: u32, salt: Vec<u8>, hash: Vec<u8>) -> Result<Self, &'static str> {
        if log_n == 0 || r == 0 || p == 0 {
            return Err(DAMAGED);
        }
        // Before the crate sees them: it multiplies them in 32 bits.
        let memory = 1_u64.checked_shl(log_n).and_then(|n| n.checked_mul(128 * u64::from(r)));
        let memory = memory.filter(|&memory| memory <= MAX_SCRYPT_MEMORY).ok_or(UNBEARABLE)?;
        if memory * u64::from(p) > MAX_SCRYPT_WORK {
            return Err(UNBEARABLE);
        }
        let log_n = u8::try_from(log_n).map_err(|_| UNBEARABLE)?;
        let params = scrypt::Params::new(log_n, r, p).map_err(|_| DAMAGED)?;
        Self::derived(Derivation::Scrypt(params), salt, hash)
    }

    fn derived(by: Derivation, salt: Vec<u8>, hash: Vec<u8>) -> Result<Self, &'static str> {
        match HASH_BYTES.contains(&hash.len()) && !salt.is_empty() {
            true => Ok(Self::Derived { by, salt, hash }),
            false => Err(DAMAGED),
        }
    }

    fn is_expensive(&self) -> bool {
        match self {
            Self::Bcrypt(text) | Self::BcryptOfSha256(text) => {
                bcrypt_cost(text).is_ok_and(|cost| cost > CHEAP_BCRYPT_COST)
            }
            Self::Derived { by: Derivation::Pbkdf2(_, rounds), .. } => rounds.get() > CHEAP_PBKDF2_ROUNDS,
            Self::Derived { by: Derivation::Scrypt(params), .. } => {
                let memory = (128 * u64::from(params.r())) << params.log_n();
                memory * u64::from(params.p()) > CHEAP_SCRYPT_WORK
            }
        }
    }

    fn matches(&self, password: &str) -> bool {
        let (by, salt, hash) = match self {
            Self::Bcrypt(text) => return bcrypt::verify(password, text).unwrap_or(false),
            Self::BcryptOfSha256(text) => {
                return bcrypt::verify(&*hexadecimal_sha256(password), text).unwrap_or(false);
            }
            Self::Derived { by, salt, hash } => (by, salt, hash),
        };
        let mut computed = vec![0; hash.len()];
        let is_computed = match by {
            Derivation::Pbkdf2(algorithm, rounds) => {
                pbkdf2::derive(*algorithm, *rounds, salt, password.as_bytes(), &mut computed);
                true
            }
            Derivation::Scrypt(params) => {
                scrypt::scrypt(password.as_bytes(), salt, params, &mut computed).is_ok()
            }
        };
        is_computed && bool::from(computed.ct_eq(hash))
    }
}

/// The text, if we are willing to compute it again.
fn bcrypt_hash(text: &str) -> Result<&str, &'static str> {
    match bcrypt_cost(text)? {
        0..4 => Err(DAMAGED),
        4..=MAX_BCRYPT_COST => Ok(text),
        _ => Err(UNBEARABLE),
    }
}

fn bcrypt_cost(text: &str) -> Result<u32, &'static str> {
    Ok(text.parse::<bcrypt::HashParts>().map_err(|_| DAMAGED)?.get_cost())
}

fn hexadecimal_sha256(password: &str) -> Zeroizing<String> {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, password.as_bytes());
    Zeroizing::new(digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// `i=600000`, with or without `l=32`, or a mere number; the rounds and the length.
fn phc_rounds(params: &str) -> Result<(u32, Option<usize>), &'static str> {
    let Some(rounds) = params.strip_prefix("i=") else {
        return Ok((number(params)?, None));
    };
    match rounds.split_once(",l=") {
        Some((rounds, length)) => Ok((number(rounds)?, Some(length.parse().map_err(|_| DAMAGED)?))),
        None => Ok((number(rounds)?, None)),
    }
}

/// `ln=16,r=8,p=1`.
fn phc_scrypt(params: &str) -> Result<(u32, u32, u32), &'static str> {
    let params: Vec<_> = params.split(',').map(|param| param.split_once('=').unwrap_or_default()).collect();
    match *params.as_slice() {
        [("ln", log_n), ("r", r), ("p", p)] => Ok((number(log_n)?, number(r)?, number(p)?)),
        _ => Err(DAMAGED),
    }
}

/// What doesn't fit is too large rather than wrong, unless it isn't a number at all.
fn number(text: &str) -> Result<u32, &'static str> {
    match !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse().map_err(|_| UNBEARABLE),
        false => Err(DAMAGED),
    }
}

fn base64(text: &str) -> Result<Vec<u8>, &'static str> {
    STANDARD_NO_PAD.decode(text.trim_end_matches('=').replace('.', "+")).map_err(|_| DAMAGED)
}

fn hexadecimal(text: &str) -> Result<Vec<u8>, &'static str> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2).map(|pair| match *pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    });
    pairs.collect::<Option<_>>().ok_or(DAMAGED)
}

#[cfg(test)]
mod tests;
