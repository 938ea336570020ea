//! What one gateway holds of a shared Redis: the state, and the gatekeeper of its request path.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use portcullis::clock::Timestamp;
use portcullis::identity::{SessionId, UserId};
use portcullis::store::redis::{RedisGatekeeper, RedisState};
use portcullis::store::{
    Account, Bearer, Bound, Charge, Gatekeeper, Presentation, Revocation, Revocations, Rotation, Session,
    SessionPage, Sessions, Standing, Start, StoreError, Verdict,
};
use tokio::task::JoinSet;

use super::eventually;
use super::gatekeeper::{Gate, admit};
use crate::servers::redis::Redis;

/// Longer than any test: the mirror is current unless a test says otherwise.
const AN_HOUR: Duration = Duration::from_secs(3600);

pub struct GatewayOnRedis {
    pub state: Arc<RedisState>,
    pub gatekeeper: Arc<RedisGatekeeper>,
    renewals: Mutex<JoinSet<Result<(), StoreError>>>,
}

impl GatewayOnRedis {
    pub fn strict(redis: &Redis) -> Self {
        Self::strict_at(&redis.url())
    }

    pub fn strict_at(url: &str) -> Self {
        let state = Arc::new(RedisState::open(url).expect("the URL is right"));
        Self { gatekeeper: Arc::new(RedisGatekeeper::new(state.clone())), state, renewals: Mutex::default() }
    }

    /// Its leases don't age, so that what it does hangs on what is asked of it, not on how soon this machine
    /// comes to it.
    pub fn in_no_time(self) -> Self {
        let gatekeeper = RedisGatekeeper::with_clock(self.state.clone(), || 1);
        Self { gatekeeper: Arc::new(gatekeeper), ..self }
    }

    /// Its mirror is filled.
    pub async fn mirrored(redis: &Redis) -> Self {
        Self::mirrored_for(redis, AN_HOUR).await
    }

    pub async fn mirrored_for(redis: &Redis, max_staleness: Duration) -> Self {
        Self::following(Self::strict(redis), max_staleness).await
    }

    /// Its mirror is filled.
    pub async fn mirrored_at(url: &str) -> Self {
        Self::following(Self::strict_at(url), AN_HOUR).await
    }

    async fn following(gateway: Self, max_staleness: Duration) -> Self {
        gateway.state.follow(max_staleness);
        gateway.until_current().await;
        gateway
    }

    pub fn is_current(&self) -> bool {
        self.state.mirroring().is_some_and(|mirroring| mirroring.is_current)
    }

    pub async fn until_current(&self) {
        eventually("the mirror is current", async || self.is_current()).await;
    }

    pub fn known(&self, bearer: Bearer) -> Option<Standing> {
        self.gatekeeper.known_standing(bearer)
    }

    /// Until the mirror itself says so.
    pub async fn until_known(&self, bearer: Bearer, standing: Standing) {
        eventually("the mirror knows", async || self.known(bearer) == Some(standing)).await;
    }

    pub async fn take(&self, charge: &Charge) -> Verdict {
        self.admit(None, std::slice::from_ref(charge)).await[0]
    }

    /// `None` when Redis has to be asked.
    pub fn take_at_once(&self, charge: &Charge) -> Option<Verdict> {
        Some(self.admit_at_once(None, std::slice::from_ref(charge))?[0])
    }

    /// As the request path asks.
    pub async fn admit(&self, bearer: Option<Bearer>, charges: &[Charge]) -> Vec<Verdict> {
        match self.admit_at_once(bearer, charges) {
            Some(verdicts) => verdicts,
            None => self.gatekeeper.admit(bearer, charges).await.expect("Redis runs").verdicts,
        }
    }

    fn admit_at_once(&self, bearer: Option<Bearer>, charges: &[Charge]) -> Option<Vec<Verdict>> {
        let admission = self.gatekeeper.admit_at_once(bearer, charges)?;
        if admission.runs_low
            && let Some(renewal) = self.gatekeeper.renewal(charges)
        {
            self.renewals().spawn(renewal);
        }
        Some(admission.verdicts)
    }

    /// How many leases have been renewed or are about to be.
    pub fn renewals_begun(&self) -> usize {
        self.renewals().len()
    }

    /// Until they are.
    pub async fn until_renewed(&self) {
        let renewals = std::mem::take(&mut *self.renewals());
        for outcome in renewals.join_all().await {
            outcome.expect("Redis runs");
        }
    }

    fn renewals(&self) -> MutexGuard<'_, JoinSet<Result<(), StoreError>>> {
        self.renewals.lock().expect("no holder panics")
    }
}

impl Gate for GatewayOnRedis {
    fn gate(self: Arc<Self>) -> Arc<dyn Gatekeeper> {
        self.gatekeeper.clone()
    }
}

#[async_trait]
impl Revocations for GatewayOnRedis {
    async fn revoke(&self, what: Revocation, until: Timestamp) -> Result<(), StoreError> {
        self.state.revoke(what, until).await
    }

    /// As the request path asks.
    async fn standing(&self, bearer: Bearer, _: Timestamp) -> Result<Standing, StoreError> {
        Ok(admit(&*self.gatekeeper, Some(bearer), &[]).await?.standing)
    }

    async fn revoked_below(&self, user: UserId, now: Timestamp) -> Result<Option<u64>, StoreError> {
        self.state.revoked_below(user, now).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.state.ping().await
    }
}

#[async_trait]
impl Sessions for GatewayOnRedis {
    async fn start(&self, session: &Session, bound: Bound) -> Result<Start, StoreError> {
        self.state.start(session, bound).await
    }

    async fn rotate(&self, id: SessionId, presented: Presentation<'_>) -> Result<Rotation, StoreError> {
        self.state.rotate(id, presented).await
    }

    async fn note_account(&self, id: SessionId, account: &Account) -> Result<(), StoreError> {
        self.state.note_account(id, account).await
    }

    async fn find(&self, id: SessionId, now: Timestamp) -> Result<Option<Session>, StoreError> {
        self.state.find(id, now).await
    }

    async fn list(
        &self,
        user: UserId,
        page: SessionPage,
        now: Timestamp,
    ) -> Result<Vec<Session>, StoreError> {
        self.state.list(user, page, now).await
    }

    async fn end(&self, id: SessionId, revoked_until: Timestamp) -> Result<bool, StoreError> {
        self.state.end(id, revoked_until).await
    }

    async fn end_all(&self, user: UserId, revoked_until: Timestamp) -> Result<u64, StoreError> {
        self.state.end_all(user, revoked_until).await
    }
}
