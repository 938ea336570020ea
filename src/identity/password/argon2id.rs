//! Argon2id, in memory that a worker keeps and wipes between passwords.

use argon2::{Algorithm, Argon2, Block, Params, PasswordHash, Version};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroize as _;

use super::imported::{DAMAGED, UNBEARABLE};
use super::{imported, is_argon2, matches_in_any_form, normalized, without_framework};
use crate::config::policy::Argon2Params;

const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// What a stored hash may ask for at most. Imported hashes have other parameters than ours; a
/// hostile row must not exhaust the machine.
const MAX_STORED_MEMORY_KIB: u32 = 1024 * 1024;
const MAX_STORED_KIB_PASSES: u64 = 4 * 1024 * 1024;
const MAX_STORED_LANES: u32 = 64;
/// More takes longer than half a second.
const CHEAP_KIB_PASSES: u64 = 512 * 1024;

/// Hashes and verifies passwords one after another in the same memory: one belongs to each worker.
pub struct Hasher {
    params: Argon2Params,
    /// Zero outside of a call.
    blocks: Vec<Block>,
}

impl Hasher {
    /// Takes `params.memory_kib` of memory, for as long as it lives.
    pub fn new(params: Argon2Params) -> Self {
        Self { params, blocks: vec![Block::new(); ours(params).block_count()] }
    }

    /// A PHC string with a new random salt.
    pub fn hash(&mut self, password: &str) -> String {
        let salt: [u8; SALT_BYTES] = random();
        let mut hash = [0; HASH_BYTES];
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, ours(self.params));
        argon2
            .hash_password_into_with_memory(
                normalized(password).as_bytes(),
                &salt,
                &mut hash,
                &mut self.blocks,
            )
            .expect("the salt, the output and the memory have the sizes Argon2 asks for");
        wipe(&mut self.blocks);
        phc(self.params, &salt, &hash)
    }

    /// As [`verify`](super::verify). A hash that needs more memory than this hasher holds gets it
    /// for this once.
    pub fn verify(&mut self, password: &str, stored: &str) -> bool {
        let stored = without_framework(stored);
        if !is_argon2(stored) {
            return imported::verify(password, stored);
        }
        let Ok(stored) = Stored::parse(stored) else {
            return false;
        };
        let needed = stored.argon2.params().block_count();
        if needed > self.blocks.len() {
            return stored.matches(password, &mut vec![Block::new(); needed]);
        }
        stored.matches(password, &mut self.blocks[..needed])
    }
}

pub fn verify(password: &str, phc: &str) -> bool {
    let Ok(stored) = Stored::parse(phc) else {
        return false;
    };
    let needed = stored.argon2.params().block_count();
    stored.matches(password, &mut vec![Block::new(); needed])
}

pub fn needs_upgrade(phc: &str, params: Argon2Params) -> bool {
    let ours = phc_prefix(params);
    let is_current = phc.starts_with(&ours)
        && Stored::parse(phc)
            .is_ok_and(|stored| stored.salt.len() >= SALT_BYTES && stored.hash.len() >= HASH_BYTES);
    !is_current
}

/// `Err` says why it can never verify.
pub fn check(phc: &str) -> Result<(), &'static str> {
    Stored::parse(phc).map(drop)
}

pub fn is_expensive(phc: &str) -> bool {
    Stored::parse(phc).is_ok_and(|stored| kib_passes(stored.argon2.params()) > CHEAP_KIB_PASSES)
}

pub fn decoy(params: Argon2Params) -> String {
    phc(params, &random::<SALT_BYTES>(), &random::<HASH_BYTES>())
}

/// A stored hash that we are willing to compute again.
struct Stored {
    argon2: Argon2<'static>,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl Stored {
    fn parse(phc: &str) -> Result<Self, &'static str> {
        let parsed = PasswordHash::new(phc).map_err(|_| DAMAGED)?;
        let algorithm = Algorithm::try_from(parsed.algorithm.as_str()).map_err(|_| DAMAGED)?;
        let version = parsed.version.unwrap_or(Version::V0x10.into());
        let version = Version::try_from(version).map_err(|_| DAMAGED)?;
        let params = Params::try_from(&parsed).map_err(|_| DAMAGED)?;
        if !is_bearable(&params) {
            return Err(UNBEARABLE);
        }
        Ok(Self {
            argon2: Argon2::new(algorithm, version, params),
            salt: parsed.salt.ok_or(DAMAGED)?.as_ref().to_vec(),
            hash: parsed.hash.ok_or(DAMAGED)?.as_bytes().to_vec(),
        })
    }

    /// Wipes `memory` afterwards.
    fn matches(&self, password: &str, memory: &mut [Block]) -> bool {
        matches_in_any_form(password, |form| self.matches_as_written(form, memory))
    }

    fn matches_as_written(&self, password: &str, memory: &mut [Block]) -> bool {
        let mut hash = vec![0; self.hash.len()];
        let computed = self.argon2.hash_password_into_with_memory(
            password.as_bytes(),
            &self.salt,
            &mut hash,
            &mut *memory,
        );
        wipe(memory);
        computed.is_ok() && bool::from(hash.ct_eq(&self.hash))
    }
}

fn wipe(memory: &mut [Block]) {
    memory.iter_mut().for_each(Block::zeroize);
}

fn is_bearable(params: &Params) -> bool {
    params.m_cost() <= MAX_STORED_MEMORY_KIB
        && kib_passes(params) <= MAX_STORED_KIB_PASSES
        && params.p_cost() <= MAX_STORED_LANES
        // These left the standard; a hash that has them isn't one we can compute.
        && params.data().is_empty()
}

fn kib_passes(params: &Params) -> u64 {
    u64::from(params.m_cost()) * u64::from(params.t_cost())
}

fn ours(params: Argon2Params) -> Params {
    Params::new(params.memory_kib, params.iterations, params.parallelism, Some(HASH_BYTES))
        .expect("the parameters were checked when the policy was compiled")
}

fn phc(params: Argon2Params, salt: &[u8], hash: &[u8]) -> String {
    let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
    format!("{}{salt}${hash}", phc_prefix(params))
}

fn phc_prefix(params: Argon2Params) -> String {
    let Argon2Params { memory_kib, iterations, parallelism } = params;
    format!("$argon2id$v=19$m={memory_kib},t={iterations},p={parallelism}$")
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the system has randomness");
    bytes
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use argon2::{CustomizedPasswordHasher as _, PasswordVerifier as _};
    use proptest::prelude::*;

    use super::*;
    use crate::identity::password::hash;

    const CHEAP: Argon2Params = Argon2Params { memory_kib: 64, iterations: 1, parallelism: 1 };

    #[test]
    fn a_hash_is_a_phc_string_with_its_own_salt() {
        let (one, two) = (hash("correct horse", CHEAP), hash("correct horse", CHEAP));

        assert!(one.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{one}");
        assert_ne!(one, two);
        assert!(Argon2::default().verify_password(b"correct horse", one.as_str()).is_ok());
    }

    #[test]
    fn only_the_same_password_verifies() {
        let mut hasher = Hasher::new(CHEAP);
        let phc = hasher.hash("Correct horse");

        assert!(hasher.verify("Correct horse", &phc));
        assert!(verify("Correct horse", &phc));
        for other in ["", "correct horse", "Correct horse ", "Correct hors", "Correct horse\0"] {
            assert!(!hasher.verify(other, &phc), "{other:?}");
        }
        assert!(hasher.blocks.iter().all(|block| block.as_ref().iter().all(|&word| word == 0)));
    }

    #[test]
    fn the_whole_of_a_long_password_counts() {
        let long = "x".repeat(4096);
        let phc = hash(&long, CHEAP);

        assert!(verify(&long, &phc));
        assert!(!verify(&long[..4095], &phc));
    }

    #[test]
    fn one_password_has_one_hash_however_its_letters_are_composed() {
        let phc = hash("pa\u{df}wort \u{e9}t\u{e9} \u{fb01}n", CHEAP);

        assert!(verify("pa\u{df}wort e\u{301}te\u{301} fin", &phc));
        assert!(!verify("passwort ete fin", &phc));
    }

    #[test]
    fn argon2_hashes_made_elsewhere_verify_and_are_upgraded() {
        let elsewhere = |algorithm, m_cost, t_cost, p_cost| {
            let params = Params::new(m_cost, t_cost, p_cost, Some(24)).unwrap();
            Argon2::default()
                .hash_password_customized(b"imported", b"some-salt", Some(algorithm), None, params)
                .unwrap()
                .to_string()
        };
        let mut hasher = Hasher::new(CHEAP);

        for phc in
            [elsewhere("argon2id", 128, 2, 2), elsewhere("argon2i", 32, 1, 1), elsewhere("argon2d", 64, 1, 1)]
        {
            assert!(hasher.verify("imported", &phc), "{phc}");
            assert!(!hasher.verify("other", &phc), "{phc}");
            assert!(needs_upgrade(&phc, CHEAP), "{phc}");
        }
        assert!(!needs_upgrade(&hasher.hash("new"), CHEAP));
        assert!(needs_upgrade(&hasher.hash("new"), Argon2Params { iterations: 2, ..CHEAP }));
    }

    #[test]
    fn hostile_rows_neither_match_nor_cost_anything() {
        let started = Instant::now();

        for params in
            ["m=4294967295,t=1,p=1", "m=1048576,t=5,p=1", "m=64,t=4294967295,p=1", "m=8192,t=1,p=1024"]
        {
            let phc = format!("$argon2id$v=19${params}$c29tZXNhbHRzb21lc2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2g");
            assert!(!verify("password", &phc), "{params}");
            assert!(needs_upgrade(&phc, CHEAP), "{params}");
        }

        assert!(started.elapsed() < Duration::from_secs(1));
    }

    #[test]
    fn forms_we_do_not_know_never_verify() {
        for unknown in [
            "",
            "password",
            "$2x$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
            "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ",
            "$argon2id$v=19$m=64,t=1,p=1$$",
            "$argon2id$v=20$m=64,t=1,p=1$c29tZXNhbHQ$aGFzaGhhc2hoYXNo",
        ] {
            assert!(!verify("password", unknown), "{unknown}");
            assert!(needs_upgrade(unknown, CHEAP), "{unknown}");
        }
    }

    #[test]
    fn a_decoy_costs_like_a_hash_and_matches_nothing() {
        let decoy = decoy(CHEAP);

        assert!(!verify("", &decoy));
        assert!(!needs_upgrade(&decoy, CHEAP), "it has the parameters of a real hash");
        assert_eq!(decoy.len(), hash("password", CHEAP).len());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn nothing_stored_makes_it_panic(password in ".{0,40}", phc in ".{0,80}", params in "[mtp=,0-9]{0,20}") {
            prop_assert!(!verify(&password, &phc));
            verify(&password, &format!("$argon2id$v=19${params}$c29tZXNhbHQ$aGFzaGhhc2hoYXNo"));
        }
    }
}
