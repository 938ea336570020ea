//! Answers the request path from this gateway's mirror and leases, and asks Redis for what is
//! missing: all of it in one round trip.

use std::sync::Arc;

use async_trait::async_trait;

use super::RedisState;
use super::ask::{Answer, Ask, Counter, Failure};
use super::leases::{Leases, Outcome, Taken, Used, Wish};
use crate::clock;
use crate::store::{
    Admission, Bearer, Charge, Gatekeeper, Price, Renewal, Revocations, Standing, StoreError, Verdict,
};

/// One per gateway. Whether it mirrors the revocations is up to the state: [`RedisState::follow`].
#[derive(Clone)]
pub struct RedisGatekeeper {
    state: Arc<RedisState>,
    leases: Arc<Leases>,
}

/// One charge of a request that has to ask Redis.
struct Item<'a> {
    charge: &'a Charge,
    plan: Plan,
}

#[derive(Clone, Copy)]
enum Plan {
    Taken(Taken),
    Asked(Wish),
}

/// What could be taken from leases alone.
struct TakenAll {
    verdicts: Vec<Verdict>,
    /// Some lease is nearly used up.
    runs_low: bool,
}

impl RedisGatekeeper {
    pub fn new(state: Arc<RedisState>) -> Self {
        Self::with_clock(state, clock::monotonic_us)
    }

    /// Its leases age by this clock.
    pub fn with_clock(state: Arc<RedisState>, clock: clock::Monotonic) -> Self {
        Self { state, leases: Arc::new(Leases::new(clock)) }
    }
}

#[async_trait]
impl Gatekeeper for RedisGatekeeper {
    fn known_standing(&self, bearer: Bearer) -> Option<Standing> {
        self.state.standing_at_once(bearer, clock::now())
    }

    fn last_level_us(&self, charge: &Charge) -> u64 {
        self.leases.last_level_us(charge)
    }

    fn admit_at_once(&self, bearer: Option<Bearer>, charges: &[Charge]) -> Option<Admission> {
        let standing = self.standing_of(bearer)?;
        let TakenAll { verdicts, runs_low } = self.take_all(judged(charges, standing))?;
        Some(Admission { standing, verdicts, runs_low })
    }

    fn renewal(&self, charges: &[Charge]) -> Option<Renewal> {
        let now_us = self.leases.now_us();
        let ahead = |charge: &Charge| Charge { price: Price::part(0), ..charge.clone() };
        let wanted: Vec<(Charge, Wish)> = charges
            .iter()
            .filter_map(|charge| Some((ahead(charge), self.leases.renewal(charge, now_us)?)))
            .collect();
        let gatekeeper = (!wanted.is_empty()).then(|| self.clone())?;
        Some(Box::pin(async move { gatekeeper.renew(&wanted).await }))
    }

    async fn admit(&self, bearer: Option<Bearer>, charges: &[Charge]) -> Result<Admission, StoreError> {
        let known = self.standing_of(bearer);
        let asked_us = self.leases.now_us();
        let items: Vec<Item<'_>> = judged(charges, known.unwrap_or(Standing::Good))
            .map(|charge| Item { charge, plan: self.plan(charge, asked_us) })
            .collect();
        let unchecked = bearer.filter(|_| known.is_none());
        let asks: Vec<Ask<'_>> = items.iter().filter_map(Item::ask).collect();
        let answer = match (unchecked, asks.as_slice()) {
            (None, []) => Ok(Answer { standing: Standing::Good, counters: Vec::new() }),
            (unchecked, asks) => self.state.ask(unchecked, asks).await,
        };
        let Answer { standing, counters } = answer.map_err(|Failure { error, counters }| {
            self.settle_all_unused(&items, &counters, asked_us);
            error
        })?;
        let verdicts = self.settle(&items, standing, &counters, asked_us);
        Ok(Admission { standing: known.unwrap_or(standing), verdicts, runs_low: false })
    }
}

/// Those that count for a bearer of this standing.
fn judged(charges: &[Charge], standing: Standing) -> impl Iterator<Item = &Charge> + Clone {
    charges.iter().filter(move |charge| standing == Standing::Good || charge.before_identity)
}

impl RedisGatekeeper {
    /// `Good` without a bearer; `None` when only Redis can say.
    fn standing_of(&self, bearer: Option<Bearer>) -> Option<Standing> {
        bearer.map_or(Some(Standing::Good), |bearer| self.known_standing(bearer))
    }

    /// One request from the lease of every key or, when one is known to be refused, from none.
    /// `None`, and nothing taken, when only Redis can say.
    fn take_all<'a>(&self, charges: impl Iterator<Item = &'a Charge> + Clone) -> Option<TakenAll> {
        let now_us = self.leases.now_us();
        let mut all: Vec<Taken> = Vec::with_capacity(charges.size_hint().1.unwrap_or_default());
        for charge in charges.clone() {
            let Outcome::Taken(taken) = self.leases.take(charge, now_us) else {
                charges
                    .clone()
                    .zip(&all)
                    .for_each(|(charge, taken)| self.leases.give_back(charge, taken.lease));
                let verdicts: Vec<Verdict> =
                    charges.map(|charge| self.leases.standing(charge, now_us)).collect();
                let is_refused = verdicts.iter().any(|verdict| !verdict.allowed);
                return is_refused.then_some(TakenAll { verdicts, runs_low: false });
            };
            all.push(taken);
        }
        let runs_low = all.iter().any(|taken| taken.runs_low);
        Some(TakenAll { verdicts: all.into_iter().map(|taken| taken.verdict).collect(), runs_low })
    }

    /// All that it brings is leases, since the requests that it asks for cost nothing.
    async fn renew(&self, wanted: &[(Charge, Wish)]) -> Result<(), StoreError> {
        let items: Vec<Item<'_>> =
            wanted.iter().map(|(charge, wish)| Item { charge, plan: Plan::Asked(*wish) }).collect();
        let asks: Vec<Ask<'_>> = items.iter().filter_map(Item::ask).collect();
        let asked_us = self.leases.now_us();
        let (outcome, counters) = match self.state.ask(None, &asks).await {
            Ok(Answer { counters, .. }) => (Ok(()), counters),
            Err(Failure { error, counters }) => (Err(error), counters),
        };
        self.settle_all_unused(&items, &counters, asked_us);
        outcome
    }

    fn plan(&self, charge: &Charge, now_us: u64) -> Plan {
        match self.leases.take(charge, now_us) {
            Outcome::Taken(taken) => Plan::Taken(taken),
            Outcome::Refused(_) | Outcome::Unknown => Plan::Asked(self.leases.wish(charge, now_us)),
        }
    }

    /// All that Redis has charged is leases.
    fn settle_all_unused(&self, items: &[Item<'_>], counters: &[Option<Counter>], asked_us: u64) {
        for (item, counter) in with_counters(items, counters) {
            self.settle_unused(item, counter, asked_us);
        }
    }

    /// Nothing comes of the charge. What Redis has charged for it is a lease.
    fn settle_unused(&self, item: &Item<'_>, counter: Option<&Counter>, asked_us: u64) -> Verdict {
        match (item.plan, counter) {
            (Plan::Taken(taken), _) => {
                self.leases.give_back(item.charge, taken.lease);
                taken.verdict
            }
            (Plan::Asked(wish), Some(counter)) => {
                self.leases.settle(item.charge, wish, counter, Used::None, asked_us)
            }
            (Plan::Asked(wish), None) => {
                self.leases.give_up(item.charge, wish);
                item.charge.verdict(0, false)
            }
        }
    }

    /// Takes in the answer: one verdict per charge that it judges.
    fn settle(
        &self,
        items: &[Item<'_>],
        standing: Standing,
        counters: &[Option<Counter>],
        asked_us: u64,
    ) -> Vec<Verdict> {
        let is_judged = |item: &Item<'_>| standing == Standing::Good || item.charge.before_identity;
        let refuses = |counter: Option<&Counter>| counter.is_some_and(|counter| counter.wait_us > 0);
        let is_refused = with_counters(items, counters).any(|(item, held)| is_judged(item) && refuses(held));
        let mut judged = Vec::with_capacity(items.len());
        let mut verdicts = Vec::with_capacity(items.len());
        for (item, counter) in with_counters(items, counters) {
            let verdict = match (item.plan, counter) {
                _ if is_refused || !is_judged(item) => self.settle_unused(item, counter, asked_us),
                (Plan::Taken(taken), _) => taken.verdict,
                (Plan::Asked(wish), Some(counter)) => {
                    self.leases.settle(item.charge, wish, counter, Used::One, asked_us)
                }
                (Plan::Asked(_), None) => self.settle_unused(item, None, asked_us),
            };
            if is_judged(item) {
                judged.push(item);
                verdicts.push(verdict);
            }
        }
        if !is_refused {
            return verdicts;
        }
        self.take_after_all(&judged).unwrap_or_else(|| self.refuse(&judged, verdicts))
    }

    /// Redis refuses, but a lease may have arrived while it was asked.
    fn take_after_all(&self, items: &[&Item<'_>]) -> Option<Vec<Verdict>> {
        let TakenAll { verdicts, .. } = self.take_all(items.iter().map(|item| item.charge))?;
        verdicts.iter().all(|verdict| verdict.allowed).then_some(verdicts)
    }

    /// What had been taken from a lease is there again.
    fn refuse(&self, items: &[&Item<'_>], mut verdicts: Vec<Verdict>) -> Vec<Verdict> {
        let now_us = self.leases.now_us();
        for (item, verdict) in items.iter().zip(&mut verdicts) {
            if let Plan::Taken(_) = item.plan {
                *verdict = Verdict { allowed: true, ..self.leases.standing(item.charge, now_us) };
            }
        }
        verdicts
    }
}

/// Each with what became of its counter, if it was asked and there is an answer.
fn with_counters<'a, 'b>(
    items: &'b [Item<'a>],
    counters: &'b [Option<Counter>],
) -> impl Iterator<Item = (&'b Item<'a>, Option<&'b Counter>)> {
    let mut counters = counters.iter();
    items.iter().map(move |item| match item.plan {
        Plan::Taken(_) => (item, None),
        Plan::Asked(_) => (item, counters.next().and_then(Option::as_ref)),
    })
}

impl<'a> Item<'a> {
    fn ask(&self) -> Option<Ask<'a>> {
        match self.plan {
            Plan::Asked(wish) => Some(Ask { charge: self.charge, count: wish.count }),
            Plan::Taken(_) => None,
        }
    }
}
