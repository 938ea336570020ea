//! The keys that the gateway makes for itself where the file names none, kept as text: a line each, oldest
//! first, `key` or `key from`: since when it signs, in seconds since 1970. Before that it verifies
//! only, so that all gateways know a key by the time that one of them signs with it.
//!
//! A key is `ES256:` with its PKCS#8 document in base64, or, from before that, a secret for HS256.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::generate;
use crate::clock::{Timestamp, unix_seconds};
use crate::config::policy::{KeyMaterial, SigningAlgorithm, TokenKey};
use crate::identity::secret::Secret;

const MIN_SECRET_BYTES: usize = 32;
const ES256: &str = "ES256:";
/// For clocks that differ, and gateways that learn of a key late.
const MARGIN: Duration = Duration::from_secs(3600);

/// Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedKeys(Vec<GeneratedKey>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct GeneratedKey {
    /// As it is kept, without the time.
    text: Secret,
    algorithm: SigningAlgorithm,
    material: KeyMaterial,
    /// 0 for the first one.
    signs_from: u64,
}

impl GeneratedKeys {
    /// A first key, which nobody has yet.
    pub fn generate() -> Self {
        Self(vec![GeneratedKey::generate(0)])
    }

    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(text).map_err(|_| "no text".to_owned())?;
        let keys = text.lines().filter(|line| !line.trim().is_empty()).map(GeneratedKey::parse);
        let keys: Vec<GeneratedKey> = keys.collect::<Result<_, _>>()?;
        match keys.is_empty() {
            true => Err("no key".to_owned()),
            false => Ok(Self(keys)),
        }
    }

    pub fn to_text(&self) -> Secret {
        let lines = self.0.iter().map(GeneratedKey::to_line);
        Secret::new(lines.collect::<Vec<_>>().join("\n"))
    }

    /// Adds a key that signs from then on, and drops those of which nobody can hold a good token any
    /// more: refresh tokens live for `refresh_ttl`. `Err` while the last one doesn't sign yet.
    pub fn rotate(
        &mut self,
        signs_from: Timestamp,
        now: Timestamp,
        refresh_ttl: Duration,
    ) -> Result<(), String> {
        let oldest = unix_seconds(now).saturating_sub((refresh_ttl + MARGIN).as_secs());
        if let Some(key) = self.0.iter().find(|key| key.signs_from > unix_seconds(now)) {
            return Err(format!("{} is about to sign already; wait until it does", key.id()));
        }
        self.0.push(GeneratedKey::generate(unix_seconds(signs_from)));
        // A key signed until its successor began to.
        let is_over = self.0.windows(2).take_while(|pair| pair[1].signs_from < oldest).count();
        self.0.drain(..is_over);
        Ok(())
    }

    /// As in `tokens.keys`: the one that signs now is the first.
    pub fn in_force(&self, now: Timestamp) -> Vec<TokenKey> {
        let now = unix_seconds(now);
        let signs = self.0.iter().rposition(|key| key.signs_from <= now).unwrap_or(0);
        let others = self.0.iter().enumerate().rev().filter(|(index, _)| *index != signs);
        std::iter::once(&self.0[signs])
            .chain(others.map(|(_, key)| key))
            .map(GeneratedKey::token_key)
            .collect()
    }
}

impl GeneratedKey {
    fn generate(signs_from: u64) -> Self {
        let der = generate::p256();
        let encoded = Zeroizing::new(STANDARD.encode(&*der));
        Self {
            text: Secret::new([ES256, encoded.as_str()].concat()),
            algorithm: SigningAlgorithm::ES256,
            material: KeyMaterial::PrivatePem(generate::pem(&der)),
            signs_from,
        }
    }

    fn parse(line: &str) -> Result<Self, String> {
        let mut words = line.split_whitespace();
        let text = words.next().unwrap_or_default();
        if text.len() < MIN_SECRET_BYTES {
            return Err(format!("no key of {MIN_SECRET_BYTES} bytes"));
        }
        let signs_from = words.next().unwrap_or("0").parse().map_err(|_| "no time after a key".to_owned())?;
        let (algorithm, material) = match text.strip_prefix(ES256) {
            Some(encoded) => {
                let der = STANDARD.decode(encoded).map(Zeroizing::new);
                let der = der.map_err(|_| "no base64 after ES256".to_owned())?;
                (SigningAlgorithm::ES256, KeyMaterial::PrivatePem(generate::pem(&der)))
            }
            None => (SigningAlgorithm::HS256, KeyMaterial::Shared(Secret::new(text))),
        };
        Ok(Self { text: Secret::new(text), algorithm, material, signs_from })
    }

    fn to_line(&self) -> String {
        let text = String::from_utf8_lossy(self.text.expose());
        match self.signs_from {
            0 => text.into_owned(),
            from => format!("{text} {from}"),
        }
    }

    fn id(&self) -> String {
        match self.signs_from {
            0 => "generated".to_owned(),
            from => format!("generated-{from}"),
        }
    }

    fn token_key(&self) -> TokenKey {
        TokenKey { id: self.id(), algorithm: self.algorithm, material: self.material.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0-first";
    const DAY: Duration = Duration::from_secs(86_400);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(seconds, 0).unwrap()
    }

    fn ids(keys: &GeneratedKeys, now: i64) -> Vec<String> {
        keys.in_force(at(now)).into_iter().map(|key| key.id).collect()
    }

    #[test]
    fn a_new_key_verifies_first_and_signs_later() {
        let mut keys = GeneratedKeys::parse(format!("{FIRST}\n").as_bytes()).unwrap();

        keys.rotate(at(1060), at(1000), DAY).unwrap();

        assert_eq!(ids(&keys, 1000), ["generated", "generated-1060"]);
        assert_eq!(ids(&keys, 1060), ["generated-1060", "generated"]);
        assert!(keys.rotate(at(1090), at(1030), DAY).is_err(), "one at a time");
        assert_eq!(GeneratedKeys::parse(keys.to_text().expose()), Ok(keys));
    }

    #[test]
    fn a_stored_secret_stays_and_what_is_generated_beside_it_is_for_es256() {
        let mut keys = GeneratedKeys::parse(FIRST.as_bytes()).unwrap();
        keys.rotate(at(1060), at(1000), DAY).unwrap();

        let in_force = keys.in_force(at(1060));

        let algorithms: Vec<_> = in_force.iter().map(|key| key.algorithm).collect();
        assert_eq!(algorithms, [SigningAlgorithm::ES256, SigningAlgorithm::HS256]);
        assert_eq!(in_force[1].material, KeyMaterial::Shared(Secret::new(FIRST)));
        let read = GeneratedKeys::parse(keys.to_text().expose()).unwrap();
        assert_eq!(read.in_force(at(1060)), in_force, "the same after reading it back");
        assert_ne!(GeneratedKeys::generate(), GeneratedKeys::generate());
    }

    #[test]
    fn a_key_goes_when_no_refresh_token_of_it_can_be_left() {
        let mut keys = GeneratedKeys::parse(FIRST.as_bytes()).unwrap();
        keys.rotate(at(1_000_000), at(999_940), DAY).unwrap();

        let mut early = keys.clone();
        early.rotate(at(1_080_060), at(1_080_000), DAY).unwrap();
        keys.rotate(at(1_100_060), at(1_100_000), DAY).unwrap();

        assert_eq!(ids(&early, 1_080_060), ["generated-1080060", "generated-1000000", "generated"]);
        assert_eq!(ids(&keys, 1_100_060), ["generated-1100060", "generated-1000000"]);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let no_base64 = format!("ES256:{FIRST}");
        for text in ["", "short", &format!("{FIRST} soon"), &format!("{FIRST}\nshort 7"), &no_base64] {
            assert!(GeneratedKeys::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
