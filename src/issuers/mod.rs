//! The issuers whose tokens are taken beside our own, with their public keys as they were last seen.
//! They stand beside the policy, so that a reload fetches nothing that is known already.

mod fetch;

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::clock::Timestamp;
use crate::config::policy::{Issuer, KeySource};
use crate::identity::Identity;
use crate::identity::foreign::{Absent, Cause, KeySet, why_without_roles};

pub struct TrustedIssuer {
    policy: Issuer,
    /// `None` until a fetch has succeeded. One that fails leaves the last good set.
    keys: ArcSwapOption<KeySet>,
    fetching: watch::Sender<Fetching>,
    /// Somebody misses a key.
    wanted: Notify,
    /// Whether its keys are fetched at all: not those of a file, nor offline.
    is_followed: bool,
    /// Claims that the file names and a token lacked: each is told once.
    told: Mutex<Vec<Absent>>,
}

#[derive(Clone, Copy)]
struct Fetching {
    is_under_way: bool,
    /// The last one; `None` before the first.
    began: Option<Instant>,
    /// How many fetches are over.
    ended: u64,
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
            fetching: watch::Sender::new(Fetching { is_under_way: is_followed, began: None, ended: 0 }),
            wanted: Notify::new(),
            is_followed,
            told: Mutex::default(),
        }
    }

    /// Who presents it, if this very token was good a moment ago and still is.
    pub fn remembered(&self, token: &str, now: Timestamp) -> Option<Arc<Identity>> {
        self.keys.load().as_ref()?.remembered(token, now)
    }

    /// By signature and claims alone; revocation is asked elsewhere. [`refetch`](Self::refetch) may bring a key
    /// that is unknown.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Arc<Identity>, Cause> {
        let keys = self.keys.load_full().ok_or(Cause::KeysUnavailable)?;
        let verified = keys.verify(token, &self.policy, now)?;
        if !verified.absent.is_empty() {
            self.tell_absent(&verified.absent);
        }
        Ok(verified.identity)
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

    /// Its `iss`.
    pub fn iss(&self) -> &str {
        &self.policy.issuer
    }

    /// Whether this is the issuer that a policy speaks of, wherever it stands there.
    pub fn serves(&self, policy: &Issuer) -> bool {
        self.policy == Issuer { index: self.policy.index, ..policy.clone() }
    }

    pub fn has_keys(&self) -> bool {
        self.keys.load().is_some()
    }

    /// Returns when a fetch that may bring a missing key is over: after [`fetch::TIMEOUT`] at most,
    /// at once when there is none to wait for (the last one is recent, or the keys are a file's).
    pub async fn refetch(&self) {
        if !self.is_followed {
            return;
        }
        let mut fetching = self.fetching.subscribe();
        let before = *fetching.borrow_and_update();
        if !before.is_under_way {
            if self.is_cooling_down() {
                return;
            }
            self.wanted.notify_one();
        }
        // `Err` when the issuer has left the policy: nothing will come.
        let _ = fetching.wait_for(|now| now.ended > before.ended).await;
    }

    /// However many tokens name keys that nobody knows, the issuer is asked once in a while only.
    fn is_cooling_down(&self) -> bool {
        self.fetching.borrow().began.is_some_and(|began| began.elapsed() < self.policy.cooldown)
    }

    fn take(&self, fetched: Result<Vec<u8>, String>) {
        let known = self.keys.load();
        let read =
            fetched.and_then(|text| match known.as_ref().is_some_and(|keys| keys.is_read_from(&text)) {
                true => Ok(None),
                false => KeySet::read(&text, &self.policy.algorithms).map(Some),
            });
        match read {
            Ok(None) => {}
            Ok(Some(keys)) => {
                tracing::info!(issuer = %self.policy.name, "an issuer's keys have changed or are here first");
                self.keys.store(Some(Arc::new(keys)));
            }
            Err(reason) => {
                let has_keys = known.is_some();
                tracing::warn!(issuer = %self.policy.name, reason, has_keys, "an issuer's keys could not be fetched");
            }
        }
    }
}
