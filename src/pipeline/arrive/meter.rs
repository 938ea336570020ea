//! Is the bearer still good, and are the limits? Mostly known here; otherwise one round trip for both.
//!
//! When the store is down: a bearer whose standing isn't known here is refused (`store_unavailable`)
//! unless the policy admits unchecked bearers; each limit does what its `on_store_error` says.

use std::sync::Arc;
use std::time::Duration;

use pingora::http::RequestHeader;

use super::authenticate::Presented;
use super::charges::{applicable, charge, price};
use crate::config::policy::{Limit, OnStoreError};
use crate::exchange::{Charged, Exchange};
use crate::identity::Identity;
use crate::rejection::{Code, Rejection};
use crate::store::memory::Fallback;
use crate::store::{Admission, Bearer, Charge, Gatekeeper, Price, Quota, Standing, StoreError, Verdict};
use crate::telemetry::Metrics;

pub struct Meter {
    pub gatekeeper: Arc<dyn Gatekeeper>,
    /// Counts for limits with `on_store_error: local` while the store is away.
    pub fallback: Fallback,
    pub metrics: Arc<Metrics>,
}

/// A request that may be a hit is charged in two steps, and counts as one decision: at the last step that it
/// comes to.
#[derive(Clone, Copy)]
enum Step {
    First,
    Last,
}

impl Meter {
    /// Leaves the identity and the verdicts in the exchange. `charged` is false for background
    /// revalidations, which nobody asked for.
    pub async fn run(
        &self,
        request: &RequestHeader,
        exchange: &mut Exchange,
        presented: Presented,
        charged: bool,
    ) -> Result<(), Rejection> {
        let (identity, bad) = match presented {
            Presented::Nothing => (None, None),
            Presented::Token(identity) => (Some(identity), None),
            // Looked up before; unless somebody knows, nobody passes.
            Presented::UnknownKey(_) => (None, Some(Code::TokenInvalid)),
            Presented::Bad(code) => (None, Some(code)),
            Presented::Foreign(refused) => (None, Some(refused.cause.code())),
        };
        let limits = if charged { unpaid(exchange, bad.is_some()) } else { Vec::new() };
        let price = if bad.is_some() { Price::WHOLE } else { price(request, exchange) };
        let step = if price == Price::WHOLE { Step::Last } else { Step::First };
        self.take_unpaid(request, exchange, identity.as_deref(), limits, (price, step)).await?;
        if let Some(code) = bad {
            return Err(code.into());
        }
        exchange.identity = identity;
        exchange.owes = (charged && price != Price::WHOLE).then(|| price.rest());
        Ok(())
    }

    /// Before the store is asked about an API key: the limits that need no identity, at the full price, whatever may
    /// become of the request.
    pub async fn charge_address(
        &self,
        request: &RequestHeader,
        exchange: &mut Exchange,
    ) -> Result<(), Rejection> {
        let limits = applicable(exchange, true);
        exchange.address_paid = true;
        self.take(request, exchange, None, limits, (Price::WHOLE, Step::Last)).await
    }

    /// The limits of a route alone, for a request that came another way.
    pub async fn charge(&self, request: &RequestHeader, exchange: &mut Exchange) -> Result<(), Rejection> {
        let limits = applicable(exchange, false);
        self.take(request, exchange, None, limits, (Price::WHOLE, Step::Last)).await
    }

    /// For a request that goes to the upstream after all: what it was spared as a possible hit.
    pub async fn run_rest(&self, request: &RequestHeader, exchange: &mut Exchange) -> Result<(), Rejection> {
        let Some(rest) = exchange.owes.take() else { return Ok(()) };
        let identity = exchange.identity.clone();
        let limits = unpaid(exchange, false);
        self.take_unpaid(request, exchange, identity.as_deref(), limits, (rest, Step::Last)).await
    }

    /// Beside what the limits said that were paid in full before.
    async fn take_unpaid(
        &self,
        request: &RequestHeader,
        exchange: &mut Exchange,
        identity: Option<&Identity>,
        limits: Vec<Arc<Limit>>,
        (price, step): (Price, Step),
    ) -> Result<(), Rejection> {
        let mut paid = std::mem::take(&mut exchange.verdicts);
        paid.retain(|charged| exchange.address_paid && charged.limit.by.is_before_identity());
        let taken = self.take(request, exchange, identity, limits, (price, step)).await;
        exchange.verdicts.splice(0..0, paid);
        taken
    }

    async fn take(
        &self,
        request: &RequestHeader,
        exchange: &mut Exchange,
        identity: Option<&Identity>,
        limits: Vec<Arc<Limit>>,
        (price, step): (Price, Step),
    ) -> Result<(), Rejection> {
        let (observed, limits): (Vec<_>, Vec<_>) = match limits.iter().any(|limit| limit.observe) {
            true => limits.into_iter().partition(|limit| limit.observe),
            false => (Vec::new(), limits),
        };
        let charge = |limit: &Limit, exchange: &Exchange| Charge {
            price,
            ..charge(limit, request, exchange, identity)
        };
        let charges: Vec<Charge> = limits.iter().map(|limit| charge(limit, exchange)).collect();
        let bearer = identity.map(Bearer::from);
        if bearer.is_some() || !charges.is_empty() {
            let admission = self.ask(exchange, bearer, &limits, &charges).await?;
            let is_good = admission.standing == Standing::Good;
            let judged = self.judge(exchange, limits, &charges, admission, step);
            if judged.is_err() && is_good {
                exchange.limited_user = identity.map(|identity| identity.user_id);
            }
            judged?;
        }
        for limit in &observed {
            let charge = charge(limit, exchange);
            // Boxed: this future is made and moved for every request.
            Box::pin(self.observe(exchange, limit, charge, step)).await;
        }
        Ok(())
    }

    /// Charged alone: an admission takes from all counters or none, and this one must not spare the
    /// others. A store that doesn't answer has nothing to say here.
    async fn observe(&self, exchange: &mut Exchange, limit: &Limit, charge: Charge, step: Step) {
        if exchange.would_refuse.contains(&limit.index) {
            return;
        }
        let charges = [charge];
        let admission = match self.admit_at_once(None, &charges) {
            Some(admission) => Ok(admission),
            None => self.gatekeeper.admit(None, &charges).await,
        };
        let verdicts = match admission {
            Ok(admission) => admission.verdicts,
            Err(error) => return self.metrics.store_errors.with_label_values(&[error.store]).inc(),
        };
        let is_allowed = verdicts.iter().all(|verdict| verdict.allowed);
        if let Some(meters) = exchange.edition.limit_meters(limit.index) {
            match (is_allowed, step) {
                (true, Step::Last) => meters.allowed.inc(),
                (true, Step::First) => {}
                (false, _) => meters.observed.inc(),
            }
        }
        if !is_allowed {
            exchange.would_refuse.push(limit.index);
            exchange.would_deny.get_or_insert(Code::RateLimited);
        }
    }

    async fn ask(
        &self,
        exchange: &Exchange,
        bearer: Option<Bearer>,
        limits: &[Arc<Limit>],
        charges: &[Charge],
    ) -> Result<Admission, Rejection> {
        if let Some(admission) = self.admit_at_once(bearer, charges) {
            return Ok(self.after_outage(limits, charges, admission));
        }
        self.metrics.rate_limit_store_calls.inc();
        let mut span = exchange.span("store: admit");
        match self.gatekeeper.admit(bearer, charges).await {
            Ok(admission) => Ok(self.after_outage(limits, charges, admission)),
            Err(error) => {
                if let Some(span) = &mut span {
                    span.fail(Code::StoreUnavailable.as_str());
                }
                self.without_store(exchange, bearer, limits, charges, &error)
            }
        }
    }

    /// The store doesn't know what passed while it was away.
    fn after_outage(&self, limits: &[Arc<Limit>], charges: &[Charge], mut admission: Admission) -> Admission {
        if !self.fallback.is_busy() || admission.verdicts.iter().any(|verdict| !verdict.allowed) {
            return admission;
        }
        let is_good = admission.standing == Standing::Good;
        let judged = limits.iter().zip(charges).filter(|(_, charge)| is_good || charge.before_identity);
        for ((limit, charge), verdict) in judged.zip(&mut admission.verdicts) {
            if limit.on_store_error == OnStoreError::Local {
                *verdict = verdict.and(self.fallback.recount(charge));
            }
        }
        admission
    }

    fn admit_at_once(&self, bearer: Option<Bearer>, charges: &[Charge]) -> Option<Admission> {
        let admission = self.gatekeeper.admit_at_once(bearer, charges)?;
        if admission.runs_low {
            self.renew(charges);
        }
        Some(admission)
    }

    /// Beside the request, so that none has to wait. A store that doesn't answer is counted here; what
    /// it means for requests is up to those that need it.
    fn renew(&self, charges: &[Charge]) {
        let Some(renewal) = self.gatekeeper.renewal(charges) else { return };
        self.metrics.rate_limit_store_calls.inc();
        let metrics = self.metrics.clone();
        tokio::spawn(async move {
            if let Err(error) = renewal.await {
                metrics.store_errors.with_label_values(&[error.store]).inc();
            }
        });
    }

    /// The stated answer for a failing store.
    fn without_store(
        &self,
        exchange: &Exchange,
        bearer: Option<Bearer>,
        limits: &[Arc<Limit>],
        charges: &[Charge],
        error: &StoreError,
    ) -> Result<Admission, Rejection> {
        self.metrics.store_errors.with_label_values(&[error.store]).inc();
        tracing::warn!(request_id = %exchange.request_id, %error, "revocation and limits could not be asked");
        let unavailable = || Rejection::from(Code::StoreUnavailable).retry_after(Duration::from_secs(1));
        let known = bearer.map_or(Some(Standing::Good), |bearer| self.gatekeeper.known_standing(bearer));
        let admits_unchecked = exchange.edition.policy.revocation.admit_unchecked_bearers;
        let standing = known.or(admits_unchecked.then_some(Standing::Good)).ok_or_else(unavailable)?;
        let judged = |charge: &Charge| standing == Standing::Good || charge.before_identity;
        let mut verdicts = Vec::with_capacity(charges.len());
        for (limit, charge) in limits.iter().zip(charges).filter(|(_, charge)| judged(charge)) {
            verdicts.push(match limit.on_store_error {
                OnStoreError::Deny => return Err(unavailable()),
                OnStoreError::Allow => unlimited(&charge.quota),
                OnStoreError::Local => self.fallback.take(charge, self.gatekeeper.last_level_us(charge)),
            });
        }
        Ok(Admission { standing, verdicts, runs_low: false })
    }

    fn judge(
        &self,
        exchange: &mut Exchange,
        limits: Vec<Arc<Limit>>,
        charges: &[Charge],
        admission: Admission,
        step: Step,
    ) -> Result<(), Rejection> {
        let only_before_identity = admission.standing != Standing::Good;
        let judged = limits
            .into_iter()
            .zip(charges)
            .filter(|(_, charge)| !only_before_identity || charge.before_identity)
            .map(|(limit, charge)| (limit, charge.quota));
        exchange.verdicts = judged.zip(admission.verdicts).map(Charged::from).collect();
        let is_refused =
            only_before_identity || exchange.verdicts.iter().any(|charged| !charged.verdict.allowed);
        for Charged { limit, verdict, .. } in &exchange.verdicts {
            if let Some(meters) = exchange.edition.limit_meters(limit.index) {
                match (verdict.allowed, step) {
                    (true, Step::First) if !is_refused => {}
                    (true, _) => meters.allowed.inc(),
                    (false, _) => meters.refused.inc(),
                }
            }
        }
        let refusals = exchange.verdicts.iter().filter(|charged| !charged.verdict.allowed);
        if let Some(refusal) = refusals.max_by_key(|charged| charged.verdict.retry_after) {
            let wait = refusal.verdict.retry_after;
            exchange.refused_by = Some(refusal.limit.clone());
            return Err(Rejection::from(Code::RateLimited).retry_after(wait));
        }
        match admission.standing {
            Standing::Good => Ok(()),
            Standing::Revoked => Err(Code::TokenRevoked.into()),
            Standing::Stale => Err(Code::TokenStale.into()),
        }
    }
}

/// For a request that is over: a hit came to the first step only.
pub fn count_hit(exchange: &Exchange) {
    if exchange.owes.is_none() {
        return;
    }
    let allowed = |limit: &&Arc<Limit>| {
        let is_counted = exchange.address_paid && limit.by.is_before_identity();
        !is_counted && !exchange.would_refuse.contains(&limit.index)
    };
    let limits = exchange.route.iter().flat_map(|route| &route.limits).filter(allowed);
    for meters in limits.filter_map(|limit| exchange.edition.limit_meters(limit.index)) {
        meters.allowed.inc();
    }
}

/// The limits that haven't been charged in full yet.
fn unpaid(exchange: &Exchange, refused: bool) -> Vec<Arc<Limit>> {
    let mut limits = applicable(exchange, refused);
    if exchange.address_paid {
        limits.retain(|limit| !limit.by.is_before_identity());
    }
    limits
}

fn unlimited(quota: &Quota) -> Verdict {
    Verdict {
        allowed: true,
        remaining: quota.burst,
        reset_after: Duration::ZERO,
        retry_after: Duration::ZERO,
    }
}
