//! A request that nobody sends: the pipeline's own stages, asked what they would do with it.
//!
//! `explain`, the `tests:` of gateway.yaml and `diff` all come here. Nothing is charged, counted,
//! logged or forwarded. The decision is [`arrive::decide`](crate::pipeline::arrive::decide), the headers
//! are `forward::rewrite_request`, the key is `cache::key`: the very code that requests run through.
//!
//! No key that signs is ever here: callers are given as identities, and where an upstream would be sent an
//! assertion there is a placeholder.

pub mod difference;
mod explanation;
mod gatekeeper;
mod key_lookup;
pub mod question;
mod reading;
pub mod shape;
pub mod tests;

use std::sync::Arc;

use crate::config::policy::{Issuer, Policy};
use crate::edition::{Edition, Meters};
use crate::exchange::{Exchange, NotRunning};
use crate::identity::token::{KeyRing, TokenVerifier};
use crate::issuers::TrustedIssuer;
use crate::pipeline::arrive::api_keys::KnownKeys;
use crate::pipeline::arrive::meter::Meter;
use crate::pipeline::arrive::{self, Arrival};
use crate::store::memory::Fallback;
use crate::store::{ApiKeys, Gatekeeper};
use crate::telemetry::Metrics;
use crate::telemetry::request_id::RequestId;
pub use explanation::Explanation;
use gatekeeper::Onlooker;
use key_lookup::KeyLookup;
pub use question::{Caller, Found, Question};
pub use reading::describe as describe_access;

/// Says so where a field of proxies stands for nothing.
fn untrusted_proxy(asked: &question::Asked, policy: &Policy) -> Option<String> {
    let fields = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"];
    let said = fields.into_iter().find(|name| asked.request.headers.contains_key(*name))?;
    let is_believed = arrive::is_trusted(policy, asked.address.to_canonical());
    (!is_believed).then(|| format!("{said} isn't believed: {} isn't in trusted_proxies", asked.address))
}

/// A policy with everything a request needs, apart from the running gateway's counters.
pub struct Rehearsal {
    edition: Arc<Edition>,
    metrics: Arc<Metrics>,
    /// Knows who is revoked; `None` offline.
    gatekeeper: Option<Arc<dyn Gatekeeper>>,
    api_keys: Option<Arc<dyn ApiKeys>>,
    /// Whether tokens of the real gateway can be verified here.
    has_real_keys: bool,
}

impl Rehearsal {
    /// Of a file alone. Without keys in it, no token can be verified.
    pub fn offline(policy: Arc<Policy>) -> Result<Self, String> {
        let metrics = Arc::new(Metrics::new());
        let has_real_keys = !policy.tokens.keys.is_empty();
        let verifier = match has_real_keys {
            true => KeyRing::new(&policy.tokens).map_err(|error| error.to_string())?.verifier().clone(),
            false => Arc::new(TokenVerifier::without_keys(&policy.tokens)),
        };
        let issuers = policy.issuers.iter().map(|issuer| TrustedIssuer::offline(Issuer::clone(issuer)));
        let issuers = issuers.collect::<Result<Vec<_>, String>>()?;
        let meters = Meters::resolve(&policy, &metrics, None);
        let edition = Arc::new(Edition::new(policy, verifier, issuers, Vec::new(), meters));
        Ok(Self { edition, metrics, gatekeeper: None, api_keys: None, has_real_keys })
    }

    /// Of the policy in force, with its servers, its revocations and what verifies its tokens; its metrics
    /// stay as they are.
    pub fn live(running: &Edition, gatekeeper: Arc<dyn Gatekeeper>, api_keys: Arc<dyn ApiKeys>) -> Self {
        let metrics = Arc::new(Metrics::new());
        let edition = Arc::new(Edition::new(
            running.policy.clone(),
            running.verifier.clone(),
            running.issuers.clone(),
            running.balancers.clone(),
            Meters::resolve(&running.policy, &metrics, None),
        ));
        Self { edition, metrics, gatekeeper: Some(gatekeeper), api_keys: Some(api_keys), has_real_keys: true }
    }

    pub fn policy(&self) -> &Policy {
        &self.edition.policy
    }

    /// `Err` if the question can't be put into a request at all. Offline it is answered at once.
    pub async fn explain(&self, question: &Question) -> Result<Explanation, String> {
        let asked = question.prepare(&self.edition)?;
        let running = Arc::new(NotRunning(self.metrics.http_requests_in_flight.clone()));
        let mut exchange = Exchange::new(self.edition.clone(), RequestId::next(), running);
        // An identity that is given belongs to no session, so that nothing can have revoked it.
        let is_real = matches!(question.caller, Caller::Token(_));
        let onlooker = Arc::new(Onlooker::new(self.gatekeeper.clone().filter(|_| is_real)));
        let meter = Meter {
            gatekeeper: onlooker.clone(),
            fallback: Fallback::default(),
            metrics: self.metrics.clone(),
        };
        let keys = KnownKeys::new(
            Arc::new(KeyLookup(self.api_keys.clone())),
            onlooker.clone(),
            self.metrics.clone(),
        );
        let arrival = Arrival {
            request: &asked.request,
            peer: Some(asked.address),
            tls: asked.tls,
            request_line: Some(asked.request_line.clone()),
            charged: true,
            given: asked.identity.clone(),
        };
        let decision = arrive::decide(&arrival, &mut exchange, &keys, &meter).await;
        let mut explanation = reading::read(&asked, &exchange, decision, &onlooker.charges());
        if is_real && !self.has_real_keys {
            let note = "the file names no key, so that no token can be verified without the gateway; ask with --live";
            explanation.notes.push(note.to_owned());
        }
        explanation.notes.extend(untrusted_proxy(&asked, self.policy()));
        Ok(explanation)
    }
}
