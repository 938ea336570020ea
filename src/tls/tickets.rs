//! Session tickets (RFC 8446 §4.6.1, RFC 5077) under keys that all gateways with the same secret share and that
//! change with the clock: a client resumes at any of them, however many other clients came meanwhile.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use rustls::server::ProducesTickets;

use crate::clock::{now, unix_seconds};

/// A key makes tickets for so long, and opens them for as long again.
const PERIOD: u64 = 6 * 60 * 60;
/// The number of the period, in front of each ticket.
const PERIOD_LEN: usize = 8;
/// What rustls puts into a ticket has some hundred bytes, with a client certificate some thousand.
const LONGEST: usize = 16 * 1024;

pub struct Tickets {
    secrets: ArcSwap<Secrets>,
}

/// The newest makes tickets; the one before still opens them, as after a rotation of the token keys.
struct Secrets {
    newest: [u8; 32],
    before: Option<[u8; 32]>,
}

impl Tickets {
    /// With a secret of this process until there is a shared one.
    pub fn new() -> Self {
        let mut newest = [0; 32];
        // Without it, tickets of this process could be made by others: then they aren't made at all.
        if SystemRandom::new().fill(&mut newest).is_err() {
            newest = [0; 32];
        }
        Self { secrets: ArcSwap::from_pointee(Secrets { newest, before: None }) }
    }

    pub fn set_secret(&self, secret: &[u8; 32]) {
        let current = self.secrets.load();
        if current.newest != *secret {
            let before = Some(current.newest);
            self.secrets.store(Arc::new(Secrets { newest: *secret, before }));
        }
    }

    fn seal(&self, plain: &[u8], period: u64) -> Option<Vec<u8>> {
        let secrets = self.secrets.load();
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let number = period.to_be_bytes();
        let mut sealed = plain.to_vec();
        key(&secrets.newest, period)?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(number), &mut sealed)
            .ok()?;
        Some([&number[..], &nonce, &sealed].concat())
    }

    fn open(&self, ticket: &[u8], period: u64) -> Option<Vec<u8>> {
        if ticket.len() > LONGEST {
            return None;
        }
        let (number, rest) = ticket.split_first_chunk::<PERIOD_LEN>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let made = u64::from_be_bytes(*number);
        if made > period || period - made > 1 {
            return None;
        }
        let secrets = self.secrets.load();
        let tried = [Some(&secrets.newest), secrets.before.as_ref()];
        tried.into_iter().flatten().find_map(|secret| {
            let mut text = sealed.to_vec();
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let plain = key(secret, made)?.open_in_place(nonce, Aad::from(*number), &mut text).ok()?.len();
            text.truncate(plain);
            Some(text)
        })
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        self.secrets.load().newest != [0; 32]
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(PERIOD).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, period())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.open(ticket, period())
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}

fn period() -> u64 {
    unix_seconds(now()) / PERIOD
}

fn key(secret: &[u8; 32], period: u64) -> Option<LessSafeKey> {
    let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), &period.to_be_bytes());
    UnboundKey::new(&AES_256_GCM, derived.as_ref()).ok().map(LessSafeKey::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_good_at_every_gateway_until_the_period_after_its_own() {
        let (one, other, stranger) = (Tickets::new(), Tickets::new(), Tickets::new());
        one.set_secret(&[7; 32]);
        other.set_secret(&[7; 32]);

        let ticket = one.seal(b"state", 1000).unwrap();

        assert_eq!(other.open(&ticket, 1000).as_deref(), Some(&b"state"[..]));
        assert_eq!(other.open(&ticket, 1001).as_deref(), Some(&b"state"[..]));
        assert_eq!(other.open(&ticket, 1002), None);
        assert_eq!(other.open(&ticket, 999), None);
        assert_eq!(stranger.open(&ticket, 1000), None);
    }

    #[test]
    fn a_ticket_outlives_one_change_of_the_secret() {
        let tickets = Tickets::new();
        tickets.set_secret(&[1; 32]);
        let ticket = tickets.seal(b"state", 5).unwrap();

        tickets.set_secret(&[2; 32]);
        assert!(tickets.open(&ticket, 5).is_some());
        tickets.set_secret(&[3; 32]);
        assert!(tickets.open(&ticket, 5).is_none());
    }

    #[test]
    fn what_is_damaged_or_cut_is_no_ticket() {
        let tickets = Tickets::new();
        let ticket = tickets.seal(b"state", 5).unwrap();

        for length in 0..ticket.len() {
            assert_eq!(tickets.open(&ticket[..length], 5), None, "{length}");
        }
        for at in 0..ticket.len() {
            let mut damaged = ticket.clone();
            damaged[at] ^= 1;
            assert_eq!(tickets.open(&damaged, 5), None, "{at}");
        }
    }
}
