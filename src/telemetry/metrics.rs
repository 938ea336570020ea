//! Every metric of the gateway, by name, registered once. Label children of routes and limits are
//! resolved when a policy is loaded ([`RouteMeters`](super::RouteMeters)), so that a request formats no string.

use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder, proto,
};

/// From 50 µs to 30 s; what a proxy adds lies at the low end, what upstreams take at the high one.
const SECONDS: [f64; 16] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5,
    10.0, 30.0,
];

/// The names are the interface: dashboards and alerts depend on them.
pub struct Metrics {
    registry: Registry,
    pub http_requests: IntCounterVec,
    pub http_request_duration: HistogramVec,
    pub gateway_overhead: HistogramVec,
    pub upstream_request_duration: HistogramVec,
    pub upstream_failures: IntCounterVec,
    pub auth_decisions: IntCounterVec,
    pub observed_denials: IntCounterVec,
    pub foreign_tokens_refused: IntCounterVec,
    pub rate_limit_decisions: IntCounterVec,
    pub rate_limit_store_calls: IntCounter,
    pub cache_requests: IntCounterVec,
    pub cache_bytes: IntGaugeVec,
    pub login_attempts: IntCounterVec,
    pub mails: IntCounterVec,
    pub refreshes: IntCounterVec,
    pub revocations: IntCounterVec,
    pub revocation_lag: Gauge,
    pub revocation_mirrored: IntGauge,
    pub password_queue_depth: IntGauge,
    pub password_hash_duration: Histogram,
    pub store_errors: IntCounterVec,
    pub http_requests_in_flight: IntGauge,
    pub client_connections: IntGauge,
    client_connections_refused: IntCounterVec,
    client_timeouts: IntCounterVec,
    pub fast_lane_requests: IntCounter,
    pub access_log_dropped: IntCounter,
    pub decision_log_dropped: IntCounter,
    pub trace_spans_dropped: IntCounter,
    pub audit_records_lost: IntCounter,
    pub audit_records_left_out: IntCounter,
    pub audit_records_removed: IntCounter,
    pub config_last_reload_successful: IntGauge,
    pub config_last_reload_success_timestamp: Gauge,
    pub certificate_expiry: IntGaugeVec,
}

impl Metrics {
    pub fn new() -> Self {
        let registry = Registry::new();
        let build = gauges(&registry, "build_info", "Always 1; the version is the label", &["version"]);
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Self {
            http_requests: counters(
                &registry,
                "http_requests_total",
                "Requests answered",
                &["route", "method", "status"],
            ),
            http_request_duration: histograms(
                &registry,
                "http_request_duration_seconds",
                "From the request's head to the end of the answer",
                "route",
            ),
            gateway_overhead: histograms(
                &registry,
                "gateway_overhead_seconds",
                "Time in the gateway's own stages before forwarding",
                "route",
            ),
            upstream_request_duration: histograms(
                &registry,
                "upstream_request_duration_seconds",
                "From choosing a server to the head of its answer",
                "upstream",
            ),
            upstream_failures: counters(
                &registry,
                "upstream_failures_total",
                "Requests that an upstream answered with nothing, with half an answer, or with what is none",
                &["upstream", "cause"],
            ),
            auth_decisions: counters(
                &registry,
                "auth_decisions_total",
                "Requests let through or refused",
                &["route", "decision", "reason"],
            ),
            observed_denials: counters(
                &registry,
                "observed_denials_total",
                "Requests that a rule or limit with mode: observe would have refused",
                &["route", "reason"],
            ),
            foreign_tokens_refused: counters(
                &registry,
                "foreign_tokens_refused_total",
                "Tokens of other issuers that were refused, by cause",
                &["issuer", "cause"],
            ),
            rate_limit_decisions: counters(
                &registry,
                "rate_limit_decisions_total",
                "Decisions by limit",
                &["limit", "outcome"],
            ),
            rate_limit_store_calls: counter(
                &registry,
                "rate_limit_store_calls_total",
                "Questions to the store about revocation or limits",
            ),
            cache_requests: counters(
                &registry,
                "cache_requests_total",
                "Requests to cached routes",
                &["route", "outcome"],
            ),
            cache_bytes: gauges(&registry, "cache_bytes", "Stored answers held by this process", &["tier"]),
            login_attempts: counters(&registry, "login_attempts_total", "Logins by outcome", &["outcome"]),
            mails: counters(&registry, "mails_total", "Mails to users by outcome", &["outcome"]),
            refreshes: counters(&registry, "refresh_total", "Refreshes by outcome", &["outcome"]),
            revocations: counters(&registry, "revocations_total", "Revocations made here", &["scope"]),
            revocation_lag: gauge(
                &registry,
                "revocation_lag_seconds",
                "Since the stream of revocations was last known to be read to its end; 0 without a mirror",
            ),
            revocation_mirrored: int_gauge(
                &registry,
                "revocation_mirrored",
                "1 while revocations are known here, 0 while every request is checked in the store",
            ),
            password_queue_depth: int_gauge(
                &registry,
                "password_queue_depth",
                "Passwords waiting for a hashing thread",
            ),
            password_hash_duration: histogram(
                &registry,
                "password_hash_duration_seconds",
                "What a hashing thread takes to check a password or to hash a new one",
            ),
            store_errors: counters(&registry, "store_errors_total", "Failed calls to a store", &["store"]),
            http_requests_in_flight: int_gauge(
                &registry,
                "http_requests_in_flight",
                "Requests being handled",
            ),
            client_connections: int_gauge(&registry, "client_connections", "Connections that clients have"),
            client_connections_refused: born(
                counters(
                    &registry,
                    "client_connections_refused_total",
                    "Connections closed at once, by the part of listen.max_connections that they were beyond",
                    &["limit"],
                ),
                &["total", "per_address"],
            ),
            client_timeouts: born(
                counters(
                    &registry,
                    "client_timeouts_total",
                    "Clients that took too long, by the part of listen.timeouts",
                    &["timeout"],
                ),
                &["header", "body", "send"],
            ),
            fast_lane_requests: counter(
                &registry,
                "fast_lane_requests_total",
                "Requests forwarded by the fast lane",
            ),
            access_log_dropped: counter(
                &registry,
                "access_log_dropped_total",
                "Access log lines lost: the writer was behind, or they could not be written",
            ),
            decision_log_dropped: counter(
                &registry,
                "decision_log_dropped_total",
                "Lines that a reader of the decision log was too slow for",
            ),
            trace_spans_dropped: counter(
                &registry,
                "trace_spans_dropped_total",
                "Spans lost because the collector was slow or away",
            ),
            audit_records_lost: counter(
                &registry,
                "audit_records_lost_total",
                "Audit records that are only in the log, not in the table",
            ),
            audit_records_left_out: counter(
                &registry,
                "audit_records_left_out_total",
                "Failures beyond `audit.failures`, which are in the log only",
            ),
            audit_records_removed: counter(
                &registry,
                "audit_records_removed_total",
                "Audit records that were older than `audit.keep`",
            ),
            config_last_reload_successful: int_gauge(
                &registry,
                "config_last_reload_successful",
                "1 if the last load of the configuration went through",
            ),
            config_last_reload_success_timestamp: gauge(
                &registry,
                "config_last_reload_success_timestamp_seconds",
                "When a configuration last took effect",
            ),
            certificate_expiry: gauges(
                &registry,
                "tls_certificate_expiry_timestamp_seconds",
                "When the certificate ends that a listener serves",
                &["listener"],
            ),
            registry,
        }
    }

    /// The Prometheus text format.
    pub fn render(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(16 * 1024);
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .expect("writing to memory, and the names were checked at registration");
        text
    }
}

impl Metrics {
    /// Connections beyond a part of `listen.max_connections`.
    pub fn refused_connections(&self, limit: &str) -> IntCounter {
        self.client_connections_refused.with_label_values(&[limit])
    }

    /// Clients that took longer than a part of `listen.timeouts`.
    pub fn late_clients(&self, timeout: &str) -> IntCounter {
        self.client_timeouts.with_label_values(&[timeout])
    }
}

/// How often one decision was made on a route.
pub struct DecisionCount {
    pub route: String,
    pub is_denied: bool,
    pub reason: String,
    pub count: u64,
}

impl Metrics {
    /// `auth_decisions_total`, for the console.
    pub fn decisions(&self) -> Vec<DecisionCount> {
        let families = self.auth_decisions.collect();
        let counts = families.iter().flat_map(|family| family.get_metric()).map(|metric| DecisionCount {
            route: label(metric, "route"),
            is_denied: label(metric, "decision") == "deny",
            reason: label(metric, "reason"),
            count: metric.get_counter().get_value() as u64,
        });
        counts.collect()
    }

    /// `upstream_failures_total`, for the console: the upstream with the cause.
    pub fn failures(&self) -> Vec<(String, u64)> {
        let families = self.upstream_failures.collect();
        let counts = families.iter().flat_map(|family| family.get_metric()).map(|metric| {
            let name = format!("{}: {}", label(metric, "upstream"), label(metric, "cause"));
            (name, metric.get_counter().get_value() as u64)
        });
        counts.collect()
    }
}

fn label(metric: &proto::Metric, name: &str) -> String {
    let pair = metric.get_label().iter().find(|pair| pair.name() == name);
    pair.map(|pair| pair.value().to_owned()).unwrap_or_default()
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn register<T: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<T>) -> T {
    let collector = made.expect("metric names and labels are constants that are valid");
    registry.register(Box::new(collector.clone())).expect("each metric is registered once per registry");
    collector
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(format!("portcullis_{name}"), help)
}

fn counter(registry: &Registry, name: &str, help: &str) -> IntCounter {
    register(registry, IntCounter::with_opts(opts(name, help)))
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    register(registry, IntCounterVec::new(opts(name, help), labels))
}

/// With its series there from the start: an alert on a rate needs them before the first event.
fn born(counters: IntCounterVec, labels: &[&str]) -> IntCounterVec {
    for label in labels {
        counters.with_label_values(&[*label]);
    }
    counters
}

fn gauge(registry: &Registry, name: &str, help: &str) -> Gauge {
    register(registry, Gauge::with_opts(opts(name, help)))
}

fn int_gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    register(registry, IntGauge::with_opts(opts(name, help)))
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    register(registry, IntGaugeVec::new(opts(name, help), labels))
}

fn histogram(registry: &Registry, name: &str, help: &str) -> Histogram {
    register(registry, Histogram::with_opts(seconds(name, help)))
}

fn histograms(registry: &Registry, name: &str, help: &str, label: &str) -> HistogramVec {
    register(registry, HistogramVec::new(seconds(name, help), &[label]))
}

fn seconds(name: &str, help: &str) -> HistogramOpts {
    HistogramOpts::new(format!("portcullis_{name}"), help).buckets(SECONDS.to_vec())
}
