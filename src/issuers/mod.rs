//! The issuers whose tokens are taken beside our own, with their public keys as they were last seen.
//! They stand beside the policy, so that a reload fetches nothing that is known already.

mod fetch;

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::clock::Timestamp;
use crate::config::policy::{Issuer, KeySource};
use crate::identity::Identity;
use crate::identity::foreign::{Absent, Cause, KeySet, key_id_of, why_without_roles};

pub struct TrustedIssuer {
    policy: Issuer,
    /// `None` until a fetch has succeeded. One that fails leaves the last good set.
    keys: ArcSwapOption<KeySet>,
    fetching: watch::Sender<Fetching>,
    /// Somebody misses a key.
    wanted: Notify,
    /// Whether its keys are fetched at all: not those of a file, nor offline.
    is_followed: bool,
    /// Hashes of key ids that weren't there when the issuer last answered, so that their tokens are refused
    /// rather than put off.
    missed: Mutex<Vec<u64>>,
    hasher: RandomState,
    /// Claims that the file names and a token lacked: each is told once.
    told: Mutex<Vec<Absent>>,
}

/// A bound for ids that strangers make up.
const MAX_MISSED: usize = 64;

#[derive(Clone, Copy)]
struct Fetching {
    is_under_way: bool,
    /// The last one; `None` before the first.
    began: Option<Instant>,
    /// How many fetches are over.
    ended: u64,
    /// Whether the last of them brought no keys.
    has_failed: bool,
}

/// What became of asking the issuer for a key.
enum Asked {
    /// It has answered, or there is nothing that could be asked: what is unknown isn't there.
    Answered,
    Failed,
    /// It was asked a moment ago, and may be again after this.
    TooSoon(Duration),
}

impl TrustedIssuer {
    /// Follows the issuer's keys, on the current runtime and until this is dropped.
    pub fn follow(policy: Issuer) -> Result<Arc<Self>, String> {
        let (keys, source) = match &policy.key_source {
            KeySource::Text(text) => {
                (Some(Arc::new(KeySet::read(text.as_bytes(), &policy.algorithms)?)), None)
            }
            KeySource::Url(_) | KeySource::Discovery(_) => (None, Some(fetch::Source::new(&policy)?)),
        };
        let issuer = Arc::new(Self::new(policy, keys, source.is_some()));
        if let Some(source) = source {
            tokio::spawn(fetch::keep_up(Arc::downgrade(&issuer), source));
        }
        Ok(issuer)
    }

    /// Asks nobody: only keys that stand in the file are known.
    pub fn offline(policy: Issuer) -> Result<Arc<Self>, String> {
        let keys = match &policy.key_source {
            KeySource::Text(text) => Some(Arc::new(KeySet::read(text.as_bytes(), &policy.algorithms)?)),
            KeySource::Url(_) | KeySource::Discovery(_) => None,
        };
        Ok(Arc::new(Self::new(policy, keys, false)))
    }

    fn new(policy: Issuer, keys: Option<Arc<KeySet>>, is_followed: bool) -> Self {
        Self {
            policy,
            keys: ArcSwapOption::new(keys),
            fetching: watch::Sender::new(Fetching {
                is_under_way: is_followed,
                began: None,
                ended: 0,
                has_failed: false,
            }),
            wanted: Notify::new(),
            is_followed,
            missed: Mutex::default(),
            hasher: RandomState::new(),
            told: Mutex::default(),
        }
    }

    /// Who presents it, if this very token was good a moment ago and still is.
    pub fn remembered(&self, token: &str, now: Timestamp) -> Option<Arc<Identity>> {
        self.keys.load().as_ref()?.remembered(token, now)
    }

    /// By signature and claims alone; revocation is asked elsewhere.
    /// [`verify_by_new_keys`](Self::verify_by_new_keys) may know a key that is unknown.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Arc<Identity>, Cause> {
        let keys = self.keys.load_full().ok_or(Cause::KeysUnavailable)?;
        let verified = keys.verify(token, &self.policy, now)?;
        if !verified.absent.is_empty() {
            self.tell_absent(&verified.absent);
        }
        Ok(verified.identity)
    }

    /// The same, after the issuer has been asked for a key that is unknown: at once if it was asked a moment ago,
    /// or after [`fetch::TIMEOUT`] at most. `Err` says when trying again may help.
    pub async fn verify_by_new_keys(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Arc<Identity>, (Cause, Option<Duration>)> {
        let asked = self.ask().await;
        let cause = match self.verify(token, now) {
            Ok(identity) => return Ok(identity),
            Err(cause) => cause,
        };
        match (cause, asked) {
            (Cause::KeysUnavailable, Asked::TooSoon(wait)) => Err((cause, Some(wait))),
            (Cause::KeysUnavailable, _) => Err((cause, Some(self.policy.cooldown))),
            (Cause::UnknownKey, Asked::Answered) => {
                if let Some(key) = key_id_of(token) {
                    self.note_missed(&key);
                }
                Err((cause, None))
            }
            // A key that is published since would verify it.
            (Cause::UnknownKey, Asked::TooSoon(wait)) if !self.has_missed(token) => {
                Err((Cause::KeyNotFetched, Some(wait)))
            }
            (Cause::UnknownKey, Asked::Failed) => Err((Cause::KeyNotFetched, Some(self.policy.cooldown))),
            (cause, _) => Err((cause, None)),
        }
    }

    fn note_missed(&self, key: &str) {
        let hash = self.hasher.hash_one(key);
        let mut missed = self.missed.lock();
        if missed.len() < MAX_MISSED && !missed.contains(&hash) {
            missed.push(hash);
        }
    }

    /// Whether it names a key that the issuer doesn't have. Of a token that names none, that is never known.
    fn has_missed(&self, token: &str) -> bool {
        key_id_of(token).is_some_and(|key| self.missed.lock().contains(&self.hasher.hash_one(key.as_str())))
    }

    /// Why a good token of it brings no role, if its roles were looked for in vain.
    pub fn why_without_roles(&self, token: &str) -> Option<Cause> {
        why_without_roles(token, &self.policy)
    }

    fn tell_absent(&self, absent: &[Absent]) {
        let mut told = self.told.lock();
        for claim in absent {
            if !told.contains(claim) {
                told.push(claim);
                tracing::warn!(
                    issuer = %self.policy.name,
                    claim = format!("claims.{claim}"),
                    "a claim that the file names isn't in a token of this issuer"
                );
            }
        }
    }

    /// What the file calls it.
    pub fn name(&self) -> &str {
        &self.policy.name
    }

    /// Whether tokens with this `iss` are its own.
    pub fn speaks_as(&self, iss: &str) -> bool {
        self.policy.speaks_as(iss)
    }

    /// Whether this is the issuer that a policy speaks of, wherever it stands there.
    pub fn serves(&self, policy: &Issuer) -> bool {
        self.policy == Issuer { index: self.policy.index, ..policy.clone() }
    }

    pub fn has_keys(&self) -> bool {
        self.keys.load().is_some()
    }

    /// Returns when a fetch that may bring a missing key is over, or none can be made now.
    async fn ask(&self) -> Asked {
        if !self.is_followed {
            return Asked::Answered;
        }
        let mut fetching = self.fetching.subscribe();
        let before = *fetching.borrow_and_update();
        if !before.is_under_way {
            if let Some(wait) = self.cooling_down() {
                return Asked::TooSoon(wait);
            }
            self.wanted.notify_one();
        }
        // `Err` when the issuer has left the policy: nothing will come.
        match fetching.wait_for(|now| now.ended > before.ended).await {
            Ok(now) if !now.has_failed => Asked::Answered,
            _ => Asked::Failed,
        }
    }

    /// For how long the issuer isn't asked again: however many tokens name keys that nobody knows, it is once in a
    /// while only.
    fn cooling_down(&self) -> Option<Duration> {
        let since = self.fetching.borrow().began?.elapsed();
        self.policy.cooldown.checked_sub(since).filter(|left| !left.is_zero())
    }

    /// Whether keys came.
    fn take(&self, fetched: Result<Vec<u8>, String>) -> bool {
        let known = self.keys.load();
        let read =
            fetched.and_then(|text| match known.as_ref().is_some_and(|keys| keys.is_read_from(&text)) {
                true => Ok(None),
                false => KeySet::read(&text, &self.policy.algorithms).map(Some),
            });
        match read {
            Ok(None) => self.missed.lock().clear(),
            Ok(Some(keys)) => {
                tracing::info!(issuer = %self.policy.name, "an issuer's keys have changed or are here first");
                self.missed.lock().clear();
                let withdrawn = known.iter().flat_map(|known| known.ids());
                withdrawn.filter(|id| !keys.ids().any(|own| own == *id)).for_each(|id| self.note_missed(id));
                self.keys.store(Some(Arc::new(keys)));
            }
            Err(reason) => {
                let has_keys = known.is_some();
                tracing::warn!(issuer = %self.policy.name, reason, has_keys, "an issuer's keys could not be fetched");
                return false;
            }
        }
        true
    }
}
