//! GCRA counters of this process: the limits of the embedded mode, and the fallback while Redis is
//! away. Sharded, so that request threads seldom meet; bounded, so that a flood of addresses can't
//! eat the memory.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::time::Instant;

use foldhash::fast::RandomState;
use parking_lot::{Mutex, MutexGuard};

use crate::store::{Charge, Verdict};

const SHARDS: usize = 64;
/// Counters per shard, some 100 bytes each.
const MOST: usize = 4096;
/// A shard smaller than this isn't worth pruning.
const FEW: usize = 256;

pub struct LocalCounters {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    /// Time zero: a clock that nobody sets back.
    start: Instant,
}

/// For each key the instant at which its bucket is empty again, in microseconds since the start.
struct Shard {
    empty_at_us: HashMap<Box<str>, u64, RandomState>,
    prune_at: usize,
}

impl Default for LocalCounters {
    fn default() -> Self {
        let shard = || Mutex::new(Shard { empty_at_us: HashMap::default(), prune_at: FEW });
        Self {
            shards: std::iter::repeat_with(shard).take(SHARDS).collect(),
            hasher: RandomState::default(),
            start: Instant::now(),
        }
    }
}

impl LocalCounters {
    /// Takes one from every counter: all of them or, when one refuses, none. One verdict per
    /// charge, in order.
    pub fn take<'a>(&self, charges: impl IntoIterator<Item = &'a Charge>) -> Vec<Verdict> {
        let charges: Vec<(&Charge, usize)> =
            charges.into_iter().map(|charge| (charge, self.shard_of(&charge.key))).collect();
        let mut locked = self.lock(charges.iter().map(|(_, shard)| *shard));
        let now_us = self.now_us();

        let levels: Vec<u64> = charges
            .iter()
            .map(|(charge, shard)| held(&mut locked, *shard).clamped_us(charge, now_us))
            .collect();
        let judged = || charges.iter().zip(&levels);
        let is_charged = judged().all(|((charge, _), level)| charge.verdict(*level, false).allowed);
        if is_charged {
            for ((charge, shard), level) in judged() {
                let empty_at_us = now_us + level + charge.cost_us();
                held(&mut locked, *shard).set(&charge.key, empty_at_us, now_us);
            }
        }
        judged().map(|((charge, _), level)| charge.verdict(*level, is_charged)).collect()
    }

    /// The same from one counter.
    pub fn take_one(&self, charge: &Charge) -> Verdict {
        let verdicts = self.take([charge]);
        verdicts.into_iter().next().unwrap_or_else(|| charge.verdict(0, false))
    }

    /// Lets a counter stand at least as high as this.
    pub fn raise(&self, charge: &Charge, level_us: u64) {
        let now_us = self.now_us();
        let mut shard = self.shards[self.shard_of(&charge.key)].lock();
        let level_us = charge.quota.clamp_us(level_us);
        if level_us > shard.level_us(&charge.key, now_us) {
            shard.set(&charge.key, now_us + level_us, now_us);
        }
    }

    /// In microseconds until it is at rest.
    pub fn level_us(&self, counter: &str) -> u64 {
        let now_us = self.now_us();
        self.shards[self.shard_of(counter)].lock().level_us(counter, now_us)
    }

    pub fn reset(&self, counter: &str) {
        self.shards[self.shard_of(counter)].lock().empty_at_us.remove(counter);
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn shard_of(&self, key: &str) -> usize {
        (self.hasher.hash_one(key) % SHARDS as u64) as usize
    }

    /// In order of index, so that two takers of the same shards can't wait for each other.
    fn lock(&self, shards: impl Iterator<Item = usize>) -> Vec<(usize, MutexGuard<'_, Shard>)> {
        let mut shards: Vec<usize> = shards.collect();
        shards.sort_unstable();
        shards.dedup();
        shards.into_iter().map(|index| (index, self.shards[index].lock())).collect()
    }
}

fn held<'a>(locked: &'a mut [(usize, MutexGuard<'_, Shard>)], shard: usize) -> &'a mut Shard {
    let found = locked.iter_mut().find(|(index, _)| *index == shard);
    &mut found.expect("`take` locked the shard of every charge").1
}

impl Shard {
    fn level_us(&self, key: &str, now_us: u64) -> u64 {
        self.empty_at_us.get(key).map_or(0, |empty_at| empty_at.saturating_sub(now_us))
    }

    /// What was counted by another rate, from before a reload, is dropped; also for a request that is refused, or it
    /// would stand there until the old rate has drained it.
    fn clamped_us(&mut self, charge: &Charge, now_us: u64) -> u64 {
        let level_us = self.level_us(&charge.key, now_us);
        let clamped_us = charge.quota.clamp_us(level_us);
        if clamped_us < level_us {
            self.set(&charge.key, now_us + clamped_us, now_us);
        }
        clamped_us
    }

    fn set(&mut self, key: &str, empty_at_us: u64, now_us: u64) {
        if let Some(counter) = self.empty_at_us.get_mut(key) {
            *counter = empty_at_us;
            return;
        }
        if self.empty_at_us.len() >= self.prune_at {
            self.prune(now_us);
        }
        self.empty_at_us.insert(key.into(), empty_at_us);
    }

    /// Drops the counters at rest, which say no more than absent ones. If that leaves too many,
    /// the half nearest to rest goes too: forgetting those gives away least. The next pruning is
    /// due when the shard has doubled, so that its cost per insertion stays constant.
    fn prune(&mut self, now_us: u64) {
        self.empty_at_us.retain(|_, empty_at| *empty_at > now_us);
        if self.empty_at_us.len() > MOST / 2 {
            let mut instants: Vec<u64> = self.empty_at_us.values().copied().collect();
            let middle = instants.len() / 2;
            let (_, median, _) = instants.select_nth_unstable(middle);
            let median = *median;
            self.empty_at_us.retain(|_, empty_at| *empty_at > median);
        }
        self.prune_at = (self.empty_at_us.len() * 2).clamp(FEW, MOST);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;
    use crate::store::{Price, Quota};

    fn hourly(key: String) -> Charge {
        let one = NonZeroU32::MIN;
        let quota = Quota::new(one, Duration::from_secs(3600), one);
        Charge { key, quota, before_identity: true, price: Price::WHOLE }
    }

    #[test]
    fn a_raised_limit_counts_at_once_and_a_smaller_quota_beside_it_empties_nothing() {
        let counters = LocalCounters::default();
        let by = |count: u32, seconds: u64| {
            let count = NonZeroU32::new(count).expect("not zero");
            Quota::new(count, Duration::from_secs(seconds), count)
        };
        let charge = |quota| Charge { quota, ..hourly("k".into()) };
        let old = charge(by(2, 3600));
        assert!(counters.take_one(&old).allowed && counters.take_one(&old).allowed);

        let refused = counters.take_one(&charge(by(100, 60).beside([by(2, 3600)])));
        assert!(refused.retry_after > Duration::from_secs(3000), "another role may still have the slow one");

        let refused = counters.take_one(&charge(by(100, 60)));
        assert!(refused.retry_after <= Duration::from_millis(600), "{refused:?}");
        assert!(refused.reset_after <= Duration::from_secs(60), "{refused:?}");
        assert!(counters.level_us("k") <= 60_000_000, "it drains by the new rate from now on");
    }

    #[test]
    fn a_flood_of_keys_takes_bounded_memory() {
        let counters = LocalCounters::default();

        for number in 0..SHARDS * MOST * 2 {
            counters.take([&hourly(format!("flood:{number}"))]);
        }

        assert!(counters.shards.iter().all(|shard| shard.lock().empty_at_us.len() <= MOST));
    }

    #[test]
    fn pruning_drops_what_is_at_rest_and_keeps_what_counts() {
        let mut shard = Shard { empty_at_us: HashMap::default(), prune_at: FEW };
        for number in 0..FEW {
            shard.set(&format!("old:{number}"), 10, 0);
        }

        shard.set("new", 30, 20);

        assert_eq!(shard.empty_at_us.len(), 1);
        assert_eq!(shard.level_us("new", 20), 10);
    }
}
