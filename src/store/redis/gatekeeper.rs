//! Answers the request path from this gateway's mirror and leases, and asks Redis for what is
//! missing: all of it in one round trip.

use std::sync::Arc;

use async_trait::async_trait;

use super::ask::{Answer, Ask};
use super::leases::{Leases, Outcome, Wish};
use super::{RedisState, failed};
use crate::clock;
use crate::store::{Admission, Bearer, Charge, Gatekeeper, Revocations, Standing, StoreError, Verdict};

/// One per gateway. Whether it mirrors the revocations is up to the state: [`RedisState::follow`].
pub struct RedisGatekeeper {
    state: Arc<RedisState>,
    leases: Leases,
}

/// One charge of a request that has to ask Redis.
struct Item<'a> {
    charge: &'a Charge,
    plan: Plan,
}

#[derive(Clone, Copy)]
enum Plan {
    /// Taken from the lease with this id.
    Taken(u64, Verdict),
    Asked(Wish),
}

impl RedisGatekeeper {
    pub fn new(state: Arc<RedisState>) -> Self {
        Self { state, leases: Leases::default() }
    }
}

#[async_trait]
impl Gatekeeper for RedisGatekeeper {
    fn known_standing(&self, bearer: Bearer) -> Option<Standing> {
        self.state.standing_at_once(bearer, clock::now())
    }

    fn admit_at_once(&self, bearer: Option<Bearer>, charges: &[Charge]) -> Option<Admission> {
        let standing = self.standing_of(bearer)?;
        let verdicts = self.take_all(judged(charges, standing))?;
        Some(Admission { standing, verdicts })
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
            (None, []) => Answer { standing: Standing::Good, counters: Vec::new() },
            (unchecked, asks) => {
                let asked = self.state.ask(unchecked, asks).await;
                asked.inspect_err(|_| items.iter().for_each(|item| self.undo(item)))?
            }
        };
        let standing = known.unwrap_or(answer.standing);
        Ok(Admission { standing, verdicts: self.settle(items, &answer, asked_us)? })
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
    fn take_all<'a>(&self, charges: impl Iterator<Item = &'a Charge> + Clone) -> Option<Vec<Verdict>> {
        let now_us = self.leases.now_us();
        let mut taken = Vec::with_capacity(charges.size_hint().1.unwrap_or_default());
        for charge in charges.clone() {
            let Outcome::Taken(lease, verdict) = self.leases.take(charge, now_us) else {
                charges
                    .clone()
                    .zip(&taken)
                    .for_each(|(charge, (lease, _))| self.leases.give_back(charge, *lease));
                let standings: Vec<Verdict> =
                    charges.map(|charge| self.leases.standing(charge, now_us)).collect();
                let is_refused = standings.iter().any(|verdict| !verdict.allowed);
                return is_refused.then_some(standings);
            };
            taken.push((lease, verdict));
        }
        Some(taken.into_iter().map(|(_, verdict)| verdict).collect())
    }

    fn plan(&self, charge: &Charge, now_us: u64) -> Plan {
        match self.leases.take(charge, now_us) {
            Outcome::Taken(lease, verdict) => Plan::Taken(lease, verdict),
            Outcome::Refused(_) | Outcome::Unknown => Plan::Asked(self.leases.wish(charge, now_us)),
        }
    }

    /// Nothing comes of the charge.
    fn undo(&self, item: &Item<'_>) {
        match item.plan {
            Plan::Taken(lease, _) => self.leases.give_back(item.charge, lease),
            Plan::Asked(wish) => self.leases.give_up(item.charge, wish),
        }
    }

    /// Takes in the answer: one verdict per charge that it judges.
    fn settle(
        &self,
        mut items: Vec<Item<'_>>,
        answer: &Answer,
        asked_us: u64,
    ) -> Result<Vec<Verdict>, StoreError> {
        items.retain(|item| {
            let is_judged = answer.standing == Standing::Good || item.charge.before_identity;
            if !is_judged {
                self.undo(item);
            }
            is_judged
        });
        if items.iter().filter_map(Item::ask).count() != answer.counters.len() {
            items.iter().for_each(|item| self.undo(item));
            return Err(failed("admit.lua judged other counters than it was asked to"));
        }
        let mut counters = answer.counters.iter();
        let verdict = |item: &Item<'_>| match item.plan {
            Plan::Taken(_, verdict) => verdict,
            Plan::Asked(wish) => {
                let counter = counters.next().expect("they were counted above");
                self.leases.settle(item.charge, wish, counter, asked_us)
            }
        };
        let verdicts: Vec<Verdict> = items.iter().map(verdict).collect();
        if verdicts.iter().all(|verdict| verdict.allowed) {
            return Ok(verdicts);
        }
        Ok(self.take_after_all(&items).unwrap_or_else(|| self.refuse(&items, verdicts)))
    }

    /// Redis refuses, but a lease may have arrived while it was asked.
    fn take_after_all(&self, items: &[Item<'_>]) -> Option<Vec<Verdict>> {
        for item in items {
            if let Plan::Taken(lease, _) = item.plan {
                self.leases.give_back(item.charge, lease);
            }
        }
        let verdicts = self.take_all(items.iter().map(|item| item.charge))?;
        verdicts.iter().all(|verdict| verdict.allowed).then_some(verdicts)
    }

    /// Nothing was charged; what had been taken from a lease is there again.
    fn refuse(&self, items: &[Item<'_>], mut verdicts: Vec<Verdict>) -> Vec<Verdict> {
        let now_us = self.leases.now_us();
        for (item, verdict) in items.iter().zip(&mut verdicts) {
            if let Plan::Taken(..) = item.plan {
                *verdict = Verdict { allowed: true, ..self.leases.standing(item.charge, now_us) };
            }
        }
        verdicts
    }
}

impl<'a> Item<'a> {
    fn ask(&self) -> Option<Ask<'a>> {
        match self.plan {
            Plan::Asked(wish) => Some(Ask { charge: self.charge, count: wish.count }),
            Plan::Taken(..) => None,
        }
    }
}
