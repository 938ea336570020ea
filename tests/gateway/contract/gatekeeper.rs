//! What every `Gatekeeper` promises, and that both count alike.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use portcullis::clock::Timestamp;
use portcullis::identity::UserId;
use portcullis::store::memory::LocalGatekeeper;
use portcullis::store::redis::RedisState;
use portcullis::store::sqlite::SqliteState;
use portcullis::store::{
    Admission, Bearer, Charge, Gatekeeper, Price, Quota, Revocation, Revocations, Standing, StoreError,
    Verdict,
};
use proptest::prelude::*;

use super::revocations::bearer;
use super::{HOUR, MINUTE, contract, eventually, in_parallel, now};
use crate::servers::redis::Redis;

contract!([redis_state, strict_redis, mirrored_redis, strict_cluster, mirrored_cluster, sqlite_state] {
    nothing_asked_is_admitted
    a_burst_passes_and_one_more_is_refused_with_its_waiting_time
    of_many_parallel_charges_exactly_the_burst_passes
    a_counter_refills_at_its_rate
    keys_are_counted_apart
    when_one_limit_refuses_no_other_is_charged
    a_part_of_a_request_needs_room_for_a_whole_one
    what_costs_nothing_takes_nothing_and_is_refused_at_the_limit
    a_part_and_its_rest_are_a_whole_request
    a_revoked_bearer_is_charged_before_identity_only
    a_stale_bearer_is_told_so
});

/// Puts both traits under test on one value, as the embedded mode has them in two.
pub(super) trait Gate: Send + Sync + 'static {
    fn gate(self: Arc<Self>) -> Arc<dyn Gatekeeper>;
}

impl Gate for RedisState {
    fn gate(self: Arc<Self>) -> Arc<dyn Gatekeeper> {
        self
    }
}

impl Gate for SqliteState {
    fn gate(self: Arc<Self>) -> Arc<dyn Gatekeeper> {
        Arc::new(LocalGatekeeper::new(self))
    }
}

pub(super) fn quota(count: u32, window: Duration, burst: u32) -> Quota {
    let positive = |number| NonZeroU32::new(number).expect("tests count from 1");
    Quota::new(positive(count), window, positive(burst))
}

pub(super) fn charge(key: &str, quota: Quota) -> Charge {
    Charge { key: key.to_owned(), quota, before_identity: false, price: Price::WHOLE }
}

/// One an hour.
pub(super) fn hourly(key: &str) -> Charge {
    charge(key, quota(1, HOUR, 1))
}

/// As the request path asks.
pub(super) async fn admit(
    gate: &dyn Gatekeeper,
    bearer: Option<Bearer>,
    charges: &[Charge],
) -> Result<Admission, StoreError> {
    let Some(admission) = gate.admit_at_once(bearer, charges) else {
        return gate.admit(bearer, charges).await;
    };
    if admission.runs_low
        && let Some(renewal) = gate.renewal(charges)
    {
        tokio::spawn(renewal);
    }
    Ok(admission)
}

pub(super) async fn take(gate: &dyn Gatekeeper, charge: &Charge) -> Verdict {
    let admission = admit(gate, None, std::slice::from_ref(charge)).await.unwrap();
    admission.verdicts[0]
}

async fn nothing_asked_is_admitted(state: Arc<impl Gate>) {
    let admission = admit(&*state.gate(), None, &[]).await.unwrap();

    assert_eq!(admission, Admission { standing: Standing::Good, verdicts: vec![], runs_low: false });
}

async fn a_burst_passes_and_one_more_is_refused_with_its_waiting_time(state: Arc<impl Gate>) {
    let gate = state.gate();
    let charge = charge("per-user:user:alice", quota(60, HOUR, 3));

    let mut verdicts = Vec::new();
    for _ in 0..4 {
        verdicts.push(take(&*gate, &charge).await);
    }

    assert_eq!(verdicts.iter().map(|verdict| verdict.allowed).collect::<Vec<_>>(), [true, true, true, false]);
    assert_eq!(verdicts.iter().map(|verdict| verdict.remaining).collect::<Vec<_>>(), [2, 1, 0, 0]);
    assert_eq!(verdicts[0].reset_after, MINUTE);
    assert_eq!(verdicts[0].retry_after, Duration::ZERO);
    let soon = Duration::from_secs(5);
    let refused = verdicts[3];
    assert!(refused.retry_after <= MINUTE && refused.retry_after > MINUTE - soon, "{refused:?}");
    assert!(refused.reset_after <= 3 * MINUTE && refused.reset_after > 3 * MINUTE - soon, "{refused:?}");
}

async fn of_many_parallel_charges_exactly_the_burst_passes(state: Arc<impl Gate>) {
    let gate = state.gate();
    let charge = Arc::new(charge("per-user:user:alice", quota(20, HOUR, 20)));

    let verdicts = in_parallel(200, |_| {
        let (gate, charge) = (gate.clone(), charge.clone());
        async move { take(&*gate, &charge).await }
    })
    .await;

    assert_eq!(verdicts.iter().filter(|verdict| verdict.allowed).count(), 20);
}

async fn a_counter_refills_at_its_rate(state: Arc<impl Gate>) {
    let gate = state.gate();
    let every = Duration::from_millis(200);
    let charge = charge("login:address:192.0.2.1", quota(1, every, 1));
    let start = Instant::now();

    assert!(take(&*gate, &charge).await.allowed);

    eventually("one more passes", async || take(&*gate, &charge).await.allowed).await;
    assert!(start.elapsed() >= every);
}

async fn keys_are_counted_apart(state: Arc<impl Gate>) {
    let gate = state.gate();

    assert!(take(&*gate, &hourly("login:address:a")).await.allowed);
    assert!(!take(&*gate, &hourly("login:address:a")).await.allowed);
    assert!(take(&*gate, &hourly("login:address:b")).await.allowed);
}

async fn when_one_limit_refuses_no_other_is_charged(state: Arc<impl Gate>) {
    let gate = state.gate();
    let narrow = charge("narrow:user:alice", quota(1, HOUR, 1));
    let wide = charge("wide:user:alice", quota(10, HOUR, 10));
    let both = [wide.clone(), narrow];
    admit(&*gate, None, &both).await.unwrap();

    let refused = admit(&*gate, None, &both).await.unwrap().verdicts;

    assert_eq!((refused[0].allowed, refused[0].remaining), (true, 9));
    assert!(!refused[1].allowed);
    assert_eq!(take(&*gate, &wide).await.remaining, 8);
}

/// As a request that the cache may answer.
fn part(thousandths: u32, of: &Charge) -> Charge {
    Charge { price: Price::part(thousandths), ..of.clone() }
}

async fn a_part_of_a_request_needs_room_for_a_whole_one(state: Arc<impl Gate>) {
    let gate = state.gate();
    let whole = charge("per-user:user:alice", quota(1, HOUR, 2));
    let quarter = part(250, &whole);

    for number in 0..5 {
        assert!(take(&*gate, &quarter).await.allowed, "{number}: no more than one is charged before it");
    }

    let refused = take(&*gate, &quarter).await;
    assert!(!refused.allowed);
    assert!(refused.retry_after <= HOUR / 4 && refused.retry_after > HOUR / 5, "{refused:?}");
    assert!(!take(&*gate, &whole).await.allowed);
}

async fn what_costs_nothing_takes_nothing_and_is_refused_at_the_limit(state: Arc<impl Gate>) {
    let gate = state.gate();
    let whole = hourly("per-user:user:alice");
    let free = part(0, &whole);

    for _ in 0..10 {
        let verdict = take(&*gate, &free).await;
        assert_eq!((verdict.allowed, verdict.remaining), (true, 1));
    }

    assert!(take(&*gate, &whole).await.allowed);
    assert!(!take(&*gate, &free).await.allowed);
}

async fn a_part_and_its_rest_are_a_whole_request(state: Arc<impl Gate>) {
    let gate = state.gate();
    for thousandths in [0, 250, 999] {
        let whole = hourly(&format!("per-user:user:{thousandths}"));
        let first = part(thousandths, &whole);
        let rest = Charge { price: first.price.rest(), ..whole.clone() };

        assert!(take(&*gate, &first).await.allowed);
        assert!(take(&*gate, &rest).await.allowed, "it needs room for itself alone");

        for charge in [&whole, &first, &rest] {
            assert!(!take(&*gate, charge).await.allowed, "{thousandths}: {charge:?}");
        }
    }
}

async fn a_revoked_bearer_is_charged_before_identity_only(state: Arc<impl Gate + Revocations>) {
    let gate = state.clone().gate();
    let bearer = bearer();
    let by_address = Charge { before_identity: true, ..charge("all:address:a", quota(10, HOUR, 10)) };
    let by_user = charge("per-user:user:alice", quota(10, HOUR, 10));
    let both = [by_user.clone(), by_address.clone()];
    admit(&*gate, Some(bearer), &both).await.unwrap();
    state.revoke(Revocation::Token(bearer.token), now() + HOUR).await.unwrap();

    let admission = admit(&*gate, Some(bearer), &both).await.unwrap();

    assert_eq!(admission.standing, Standing::Revoked);
    assert_eq!(admission.verdicts.iter().map(|verdict| verdict.remaining).collect::<Vec<_>>(), [8]);
    assert_eq!(take(&*gate, &by_user).await.remaining, 8);
    assert_eq!(take(&*gate, &by_address).await.remaining, 7);
}

async fn a_stale_bearer_is_told_so(state: Arc<impl Gate + Revocations>) {
    let gate = state.clone().gate();
    let bearer = bearer();
    state.revoke(Revocation::UserBelow(bearer.user, bearer.version + 1), now() + HOUR).await.unwrap();

    let stale = admit(&*gate, Some(bearer), &[]).await.unwrap();
    let refreshed = admit(&*gate, Some(Bearer { version: bearer.version + 1, ..bearer }), &[]).await.unwrap();

    assert_eq!(stale.standing, Standing::Stale);
    assert_eq!(refreshed.standing, Standing::Good);
}

/// A store of revocations that is away.
struct Away;

#[async_trait]
impl Revocations for Away {
    async fn revoke(&self, _: Revocation, _: Timestamp) -> Result<(), StoreError> {
        Err(StoreError::new("redis", "away"))
    }

    async fn standing(&self, _: Bearer, _: Timestamp) -> Result<Standing, StoreError> {
        Err(StoreError::new("redis", "away"))
    }

    async fn revoked_below(&self, _: UserId, _: Timestamp) -> Result<Option<u64>, StoreError> {
        Err(StoreError::new("redis", "away"))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Err(StoreError::new("redis", "away"))
    }
}

#[tokio::test]
async fn without_revocations_no_bearer_is_admitted_but_strangers_are_limited() {
    let gate = LocalGatekeeper::new(Arc::new(Away));
    let charge = hourly("all:address:a");

    assert!(gate.admit(Some(bearer()), std::slice::from_ref(&charge)).await.is_err());

    assert!(take(&gate, &charge).await.allowed);
    assert!(!take(&gate, &charge).await.allowed);
}

/// Runs the script's arithmetic on its own, at a level of our choosing.
fn lua_verdict(connection: &mut redis::Connection, quota: &Quota, level_us: u64) -> (u64, u64) {
    let source = concat!(
        include_str!("../../../src/store/redis/scripts/gcra.lua"),
        "local level, step, tolerance = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])\n",
        "return {wait_for(level, step, tolerance), remaining_at(level, step, tolerance)}",
    );
    let script = redis::Script::new(source);
    let mut call = script.prepare_invoke();
    call.arg(level_us).arg(quota.step_us()).arg(quota.tolerance_us());
    call.invoke(connection).expect("the script is right and Redis runs")
}

#[test]
fn the_script_and_the_process_agree_on_every_sequence() {
    let server = Redis::start();
    let client = redis::Client::open(server.url()).expect("the URL is right");
    let connection = std::cell::RefCell::new(client.get_connection().expect("it is ready"));
    let quotas = (1..100_000u32, 1..(1u64 << 40), prop_oneof![1..50u32, any::<u32>().prop_map(|n| n.max(1))]);
    let pauses = prop::collection::vec(0..(1u64 << 34), 1..20);

    let outcome = proptest::test_runner::TestRunner::default().run(
        &(quotas, pauses),
        |((count, window_us, burst), pauses)| {
            let quota = quota(count, Duration::from_micros(window_us), burst);
            let mut level_us = 0u64;
            for pause_us in pauses {
                level_us = level_us.saturating_sub(pause_us);
                let (wait, remaining) = lua_verdict(&mut connection.borrow_mut(), &quota, level_us);
                let verdict = quota.verdict(Price::WHOLE, level_us, false);
                prop_assert_eq!(verdict.retry_after, Duration::from_micros(wait));
                prop_assert_eq!(u64::from(verdict.remaining), remaining.min(u64::from(u32::MAX)));
                prop_assert_eq!(verdict.allowed, wait == 0);
                if verdict.allowed {
                    level_us += quota.step_us();
                    prop_assert!(level_us <= quota.tolerance_us());
                }
            }
            Ok(())
        },
    );

    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}
