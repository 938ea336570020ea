//! The label children of one route, resolved once per policy.

use parking_lot::RwLock;
use prometheus::{Histogram, IntCounter};

use super::Metrics;
use crate::rejection::Code;

pub struct RouteMeters {
    name: String,
    pub duration: Histogram,
    pub overhead: Histogram,
    allowed: IntCounter,
    /// A handful per route, so that a scan beats a hash.
    requests: RwLock<Vec<(http::Method, u16, IntCounter)>>,
    cache_outcomes: RwLock<Vec<(&'static str, IntCounter)>>,
}

impl RouteMeters {
    pub fn new(metrics: &Metrics, route: &str) -> Self {
        Self {
            name: route.to_owned(),
            duration: metrics.http_request_duration.with_label_values(&[route]),
            overhead: metrics.gateway_overhead.with_label_values(&[route]),
            allowed: metrics.auth_decisions.with_label_values(&[route, "allow", "ok"]),
            requests: RwLock::default(),
            cache_outcomes: RwLock::default(),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Counts an answer. `method` is one of those that `admit` lets in, so the label is bounded.
    pub fn count_answer(&self, metrics: &Metrics, method: &http::Method, status: u16) {
        let requests = self.requests.read();
        if let Some((.., counter)) = requests.iter().find(|known| known.1 == status && known.0 == *method) {
            counter.inc();
            return;
        }
        drop(requests);
        let counter = metrics.http_requests.with_label_values(&[
            self.name.as_str(),
            method.as_str(),
            &status.to_string(),
        ]);
        counter.inc();
        self.requests.write().push((method.clone(), status, counter));
    }

    /// Counts what became of a request to a cached route.
    pub fn count_cached(&self, metrics: &Metrics, outcome: &'static str) {
        let outcomes = self.cache_outcomes.read();
        if let Some((_, counter)) = outcomes.iter().find(|known| known.0 == outcome) {
            counter.inc();
            return;
        }
        drop(outcomes);
        let counter = metrics.cache_requests.with_label_values(&[self.name.as_str(), outcome]);
        counter.inc();
        self.cache_outcomes.write().push((outcome, counter));
    }

    pub fn count_allowed(&self) {
        self.allowed.inc();
    }

    /// Let through, and failed by its upstream.
    pub fn count_failed(&self, metrics: &Metrics, code: Code) {
        metrics.auth_decisions.with_label_values(&[self.name.as_str(), "allow", code.as_str()]).inc();
    }

    pub fn count_denied(&self, metrics: &Metrics, code: Code) {
        metrics.auth_decisions.with_label_values(&[self.name.as_str(), "deny", code.as_str()]).inc();
    }
}
