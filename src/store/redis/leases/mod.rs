//! Limits without a round trip: leases of hot keys, and the refusals of those that are used up.
//! Sharded, so that request threads seldom meet; bounded, so that a flood of keys can't eat the
//! memory. A key that is forgotten costs no more than the round trip it would have saved.

mod known;
mod lease;

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use parking_lot::Mutex;

use super::ask::Counter;
use crate::clock;
use crate::store::{Charge, Verdict};
use known::Known;
pub(super) use known::{Outcome, Taken, Used, Wish};

const SHARDS: usize = 64;
/// Keys per shard, some 200 bytes each.
const MOST: usize = 2048;
/// A shard smaller than this isn't worth pruning.
const FEW: usize = 256;

pub(super) struct Leases {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    clock: clock::Monotonic,
}

struct Shard {
    known: HashMap<Box<str>, Known, RandomState>,
    prune_at: usize,
}

impl Leases {
    pub fn new(clock: clock::Monotonic) -> Self {
        let shard = || Mutex::new(Shard { known: HashMap::default(), prune_at: FEW });
        Self {
            shards: std::iter::repeat_with(shard).take(SHARDS).collect(),
            hasher: RandomState::default(),
            clock,
        }
    }

    /// The present on the clock of all other methods.
    pub fn now_us(&self) -> u64 {
        (self.clock)()
    }

    /// Takes one request from the key's lease, or says why not.
    pub fn take(&self, charge: &Charge, now_us: u64) -> Outcome {
        self.with(charge, |known| known.take(charge.price, now_us)).unwrap_or(Outcome::Unknown)
    }

    /// Undoes a [`take`](Self::take).
    pub fn give_back(&self, charge: &Charge, lease: u64) {
        self.with(charge, |known| known.give_back(charge.price, lease));
    }

    /// What is known of the counter; at rest when nothing is.
    pub fn standing(&self, charge: &Charge, now_us: u64) -> Verdict {
        let known = self.with(charge, |known| known.standing(charge.price, now_us));
        known.unwrap_or_else(|| charge.verdict(0, false))
    }

    /// How high the counter stood by Redis' last word; nothing when that was by another quota.
    pub fn last_level_us(&self, charge: &Charge) -> u64 {
        let now_us = self.now_us();
        self.with(charge, |known| known.last_level_us(now_us)).unwrap_or_default()
    }

    /// For how many requests to ask Redis. Every wish must be settled or given up.
    pub fn wish(&self, charge: &Charge, now_us: u64) -> Wish {
        self.shard(&charge.key).lock().entry(charge, now_us).wish(charge.price, now_us)
    }

    /// The same in the place of those who would have to ask soon; `None` when there is no need.
    pub fn renewal(&self, charge: &Charge, now_us: u64) -> Option<Wish> {
        self.with(charge, |known| known.renewal(now_us))?
    }

    /// Takes in the answer to a question that was sent at `asked_us`.
    pub fn settle(
        &self,
        charge: &Charge,
        wish: Wish,
        counter: &Counter,
        used: Used,
        asked_us: u64,
    ) -> Verdict {
        let now_us = self.now_us();
        let mut shard = self.shard(&charge.key).lock();
        shard.entry(charge, now_us).settle((charge.price, wish), counter, used, asked_us, now_us)
    }

    pub fn give_up(&self, charge: &Charge, wish: Wish) {
        self.with(charge, |known| known.give_up(wish));
    }

    /// `None` when nothing is known of the key, or only with another quota: after a reload.
    fn with<T>(&self, charge: &Charge, act: impl FnOnce(&mut Known) -> T) -> Option<T> {
        let mut shard = self.shard(&charge.key).lock();
        shard.known.get_mut(&*charge.key).filter(|known| known.quota == charge.quota).map(act)
    }

    fn shard(&self, key: &str) -> &Mutex<Shard> {
        &self.shards[(self.hasher.hash_one(key) % SHARDS as u64) as usize]
    }
}

impl Shard {
    fn entry(&mut self, charge: &Charge, now_us: u64) -> &mut Known {
        if !self.known.contains_key(&*charge.key) && self.known.len() >= self.prune_at {
            self.prune(now_us);
        }
        let fresh = || Known::new(charge.quota, now_us);
        let known = self.known.entry(charge.key.as_str().into()).or_insert_with(fresh);
        if known.quota != charge.quota {
            *known = fresh();
        }
        known
    }

    /// Drops the keys at rest and, if that leaves too many, the colder half. The next pruning is due
    /// when the shard has doubled, so that its cost per insertion stays constant.
    fn prune(&mut self, now_us: u64) {
        self.known.retain(|_, known| !known.is_at_rest(now_us));
        if self.known.len() > MOST / 2 {
            let mut touched: Vec<u64> = self.known.values().map(|known| known.touched_us).collect();
            let middle = touched.len() / 2;
            let (_, median, _) = touched.select_nth_unstable(middle);
            let median = *median;
            self.known.retain(|_, known| known.touched_us > median);
        }
        self.prune_at = (self.known.len() * 2).clamp(FEW, MOST);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;
    use crate::store::{Price, Quota};

    fn charge(key: String, burst: u32) -> Charge {
        let burst = NonZeroU32::new(burst).expect("not zero");
        let quota = Quota::new(NonZeroU32::MIN, Duration::from_secs(3600), burst);
        Charge { key, quota, before_identity: true, price: Price::WHOLE }
    }

    fn full(charge: &Charge) -> Counter {
        Counter {
            wait_us: charge.quota.step_us(),
            remaining: 0,
            level_us: charge.quota.tolerance_us(),
            granted: 0,
        }
    }

    fn refuse(leases: &Leases, charge: &Charge) {
        let now_us = leases.now_us();
        let wish = leases.wish(charge, now_us);
        leases.settle(charge, wish, &full(charge), Used::One, now_us);
    }

    #[test]
    fn a_refusal_is_remembered_for_its_key_and_its_quota() {
        let leases = Leases::new(clock::monotonic_us);
        let refused = charge("login:address:a".into(), 3);

        refuse(&leases, &refused);

        let take = |charge: &Charge| leases.take(charge, leases.now_us());
        assert!(matches!(take(&refused), Outcome::Refused(_)));
        assert_eq!(take(&charge("login:address:b".into(), 3)), Outcome::Unknown);
        assert_eq!(take(&charge("login:address:a".into(), 4)), Outcome::Unknown, "a reload raised it");
    }

    #[test]
    fn a_flood_of_keys_takes_bounded_memory_and_leaves_the_warm_ones() {
        let leases = Leases::new(clock::monotonic_us);
        let warm = charge("warm".into(), 3);
        refuse(&leases, &warm);

        for number in 0..SHARDS * MOST * 2 {
            refuse(&leases, &charge(format!("flood:{number}"), 3));
            leases.take(&warm, leases.now_us());
        }

        assert!(leases.shards.iter().all(|shard| shard.lock().known.len() <= MOST));
        assert!(leases.last_level_us(&warm) > 0);
    }
}
