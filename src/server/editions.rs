//! From a policy to an edition that serves requests.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::{JoinError, spawn_blocking};

use super::signing_key::KeyPlace;
use crate::balancer::{Balancer, RESOLVE_EVERY};
use crate::clock::now;
use crate::config::policy::{Issuer, Policy, TokenKey, Tokens, Upstream};
use crate::edition::{Edition, Meters, Secrets};
use crate::identity::derived::derive;
use crate::identity::refresh::RefreshKeys;
use crate::identity::token::KeyRing;
use crate::identity::token::assertion::Assertions;
use crate::identity::token::generated::GeneratedKeys;
use crate::identity::vault::Vault;
use crate::issuers::TrustedIssuer;
use crate::pace;
use crate::telemetry::Metrics;
use crate::telemetry::otlp::Exporter;

/// What session tickets of TLS are made with, apart from the other uses of a token key.
const TICKETS: &[u8] = b"portcullis tls tickets v1";

pub struct Builder {
    generated: Option<Generated>,
    metrics: Arc<Metrics>,
    office: tokio::runtime::Handle,
}

/// The keys in force when the policy names none, and where they come from.
pub struct Generated {
    pub place: KeyPlace,
    pub keys: Mutex<GeneratedKeys>,
}

impl Builder {
    pub fn new(generated: Option<Generated>, metrics: Arc<Metrics>, office: tokio::runtime::Handle) -> Self {
        Self { generated, metrics, office }
    }

    /// `running` lends its balancers, so that a reload doesn't forget which servers are down.
    /// `Err` explains what the operator has to change.
    pub async fn build(
        &self,
        policy: Arc<Policy>,
        running: Option<&Arc<Edition>>,
    ) -> Result<Edition, String> {
        let meters = self.meters(policy.clone(), running.cloned()).await?;
        let running = running.map(Arc::as_ref);
        let mut tokens = policy.tokens.clone();
        if tokens.keys.is_empty() {
            let Some(generated) = self.generated() else {
                return Err(
                    "tokens.keys: this gateway started with keys; taking them away needs a restart".into()
                );
            };
            tokens.keys = generated;
        }
        let secrets = secrets(&policy, &tokens)?;
        let issuers = self.issuers(&policy, running)?;
        let mut balancers = Vec::with_capacity(policy.upstreams.len());
        for upstream in &policy.upstreams {
            balancers.push(match running.and_then(|running| kept(running, upstream)) {
                Some(balancer) => balancer,
                None => self.open(upstream).await,
            });
        }
        let exporter = self.exporter(&policy, running)?;
        let verifier = secrets.keys.verifier().clone();
        let mut edition = Edition::new(policy, verifier, issuers, balancers, meters);
        edition.exporter = exporter;
        edition.secrets = Some(secrets);
        Ok(edition)
    }

    async fn meters(&self, policy: Arc<Policy>, running: Option<Arc<Edition>>) -> Result<Meters, String> {
        let metrics = self.metrics.clone();
        let resolve = move || Meters::resolve(&policy, &metrics, running.as_deref());
        let resolved = beside_requests(&self.metrics, resolve).await;
        resolved.map_err(|panic| panic.to_string())
    }

    /// The running one, if it is still the same.
    fn exporter(&self, policy: &Policy, running: Option<&Edition>) -> Result<Option<Arc<Exporter>>, String> {
        let Some(settings) = &policy.tracing else { return Ok(None) };
        let known = running.and_then(|running| running.exporter.clone());
        if let Some(known) = known.filter(|known| known.serves(settings)) {
            return Ok(Some(known));
        }
        let _within = self.office.enter();
        Exporter::start(settings, self.metrics.trace_spans_dropped.clone()).map(Some)
    }

    fn generated(&self) -> Option<Vec<TokenKey>> {
        self.generated.as_ref().map(|generated| generated.keys.lock().in_force(now()))
    }

    /// Reads the generated keys again. Whether `running` has others than are in force now.
    pub async fn have_keys_changed(&self, running: &Edition) -> bool {
        let Some(generated) = self.generated.as_ref().filter(|_| running.policy.tokens.keys.is_empty())
        else {
            return false;
        };
        match generated.place.get_or_create().await {
            Ok(keys) => *generated.keys.lock() = keys,
            // What is known goes on; the stores' own metrics and logs tell the rest.
            Err(error) => tracing::debug!(%error, "the signing keys could not be read"),
        }
        let ids: Vec<String> = self.generated().into_iter().flatten().map(|key| key.id).collect();
        !running.verifier.ids().eq(ids.iter().map(String::as_str))
    }

    /// `running` lends those that are still the same.
    fn issuers(&self, policy: &Policy, running: Option<&Edition>) -> Result<Vec<Arc<TrustedIssuer>>, String> {
        let _within = self.office.enter();
        let known = running.into_iter().flat_map(|running| &running.issuers);
        let issuers = policy.issuers.iter();
        issuers
            .map(|issuer| match known.clone().find(|known| known.serves(issuer)) {
                Some(known) => Ok(known.clone()),
                None => TrustedIssuer::follow(Issuer::clone(issuer)),
            })
            .collect()
    }

    async fn open(&self, upstream: &Upstream) -> Arc<Balancer> {
        let balancer = Arc::new(Balancer::open(upstream).await);
        if balancer.needs_resolving() {
            let weak = Arc::downgrade(&balancer);
            // Ends with the last edition that uses the balancer.
            self.office.spawn(async move {
                loop {
                    tokio::time::sleep(RESOLVE_EVERY).await;
                    let Some(balancer) = weak.upgrade() else { return };
                    balancer.resolve().await;
                }
            });
        }
        balancer
    }
}

fn secrets(policy: &Policy, tokens: &Tokens) -> Result<Secrets, String> {
    Ok(Secrets {
        refresh_keys: Arc::new(RefreshKeys::new(&tokens.keys)),
        vault: Arc::new(Vault::new(&tokens.keys)),
        tickets: tokens.keys.first().map(|key| derive(key, TICKETS)).unwrap_or_default(),
        keys: Arc::new(KeyRing::new(tokens).map_err(|error| error.to_string())?),
        assertions: Assertions::wanted(policy, tokens)?,
    })
}

/// Long work for a new edition or on an old one, on a thread that gives way to requests.
pub async fn beside_requests<T: Send + 'static>(
    metrics: &Metrics,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    let in_flight = metrics.http_requests_in_flight.clone();
    spawn_blocking(move || pace::giving_way(move || in_flight.get() > 0, work)).await
}

/// The running balancer of the upstream with this name, if it has the same servers.
fn kept(running: &Edition, upstream: &Upstream) -> Option<Arc<Balancer>> {
    let before = running.policy.upstreams.iter().find(|before| before.name == upstream.name)?;
    running.balancers.get(before.index).filter(|balancer| balancer.serves(upstream)).cloned()
}
