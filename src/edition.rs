//! One loaded edition of the configuration: the policy and everything resolved from it once, so
//! that a request looks nothing up by name. Editions are swapped whole.

use std::sync::Arc;

use prometheus::{Histogram, IntCounter};
use zeroize::Zeroizing;

use crate::balancer::Balancer;
use crate::clock::{Timestamp, now};
use crate::config::policy::{Limit, Policy, Route};
use crate::identity::foreign::Cause;
use crate::identity::refresh::RefreshKeys;
use crate::identity::token::assertion::Assertions;
use crate::identity::token::{KeyRing, TokenVerifier};
use crate::identity::vault::Vault;
use crate::issuers::TrustedIssuer;
use crate::pace;
use crate::telemetry::otlp::Exporter;
use crate::telemetry::{Metrics, RouteMeters, known_labels};

pub struct Edition {
    pub policy: Arc<Policy>,
    pub since: Timestamp,
    /// Of our own access tokens.
    pub verifier: Arc<TokenVerifier>,
    /// `None` in a simulation, which must not be able to sign or open anything.
    pub secrets: Option<Secrets>,
    /// By `Issuer::index`. Like balancers they outlive editions.
    pub issuers: Vec<Arc<TrustedIssuer>>,
    /// By `Upstream::index`. Balancers outlive editions: health and pools aren't reset.
    pub balancers: Vec<Arc<Balancer>>,
    /// Takes the spans of traced requests; `None` while tracing is off. Outlives editions.
    pub exporter: Option<Arc<Exporter>>,
    meters: Meters,
}

/// What signs, and what opens things that are stored sealed.
#[derive(Clone)]
pub struct Secrets {
    pub keys: Arc<KeyRing>,
    pub refresh_keys: Arc<RefreshKeys>,
    pub vault: Arc<Vault>,
    /// Makes TLS session tickets.
    pub tickets: Zeroizing<[u8; 32]>,
    /// If an upstream wants any.
    pub assertions: Option<Arc<Assertions>>,
}

/// The label children of all that a policy names.
pub struct Meters {
    upstreams: Vec<Histogram>,
    limits: Vec<LimitMeters>,
    routes: Vec<Arc<RouteMeters>>,
    no_route: RouteMeters,
}

/// The label children of one limit.
pub struct LimitMeters {
    pub allowed: IntCounter,
    pub refused: IntCounter,
    /// Let through by a limit that observes only.
    pub observed: IntCounter,
}

impl Edition {
    pub fn new(
        policy: Arc<Policy>,
        verifier: Arc<TokenVerifier>,
        issuers: Vec<Arc<TrustedIssuer>>,
        balancers: Vec<Arc<Balancer>>,
        meters: Meters,
    ) -> Self {
        Self { policy, exporter: None, since: now(), verifier, secrets: None, issuers, balancers, meters }
    }

    pub fn meters(&self, route: Option<&Route>) -> &RouteMeters {
        match route.and_then(|route| self.meters.routes.get(route.index)) {
            Some(meters) => meters,
            None => &self.meters.no_route,
        }
    }

    pub fn limit_meters(&self, index: usize) -> Option<&LimitMeters> {
        self.meters.limits.get(index)
    }

    pub fn upstream_meter(&self, index: usize) -> Option<&Histogram> {
        self.meters.upstreams.get(index)
    }
}

impl Meters {
    /// `running` lends those of routes that have kept their place and name, which are most.
    pub fn resolve(policy: &Policy, metrics: &Metrics, running: Option<&Edition>) -> Self {
        known_labels::of_policy(policy, metrics);
        let known = running.map(|running| running.meters.routes.as_slice()).unwrap_or_default();
        let of_upstream = &metrics.upstream_request_duration;
        let of_limit = &metrics.rate_limit_decisions;
        let route = |route: &Arc<Route>| {
            pace::step();
            match known.get(route.index).filter(|known| known.name() == route.name) {
                Some(known) => known.clone(),
                None => Arc::new(RouteMeters::new(metrics, &route.name)),
            }
        };
        for (issuer, cause) in
            policy.issuers.iter().flat_map(|issuer| Cause::ALL.map(|cause| (issuer, cause)))
        {
            metrics.foreign_tokens_refused.with_label_values(&[issuer.name.as_str(), cause.as_str()]);
        }
        let limit = |limit: &Arc<Limit>| LimitMeters {
            allowed: of_limit.with_label_values(&[limit.name.as_str(), "allowed"]),
            refused: of_limit.with_label_values(&[limit.name.as_str(), "refused"]),
            observed: of_limit.with_label_values(&[limit.name.as_str(), "would_refuse"]),
        };
        Self {
            upstreams: policy
                .upstreams
                .iter()
                .map(|upstream| of_upstream.with_label_values(&[&upstream.name]))
                .collect(),
            limits: policy.limits.iter().map(limit).collect(),
            routes: policy.routes.routes().iter().map(route).collect(),
            no_route: RouteMeters::new(metrics, "-"),
        }
    }
}
