//! The counters of an answered request. Labels are resolved beforehand; nothing is formatted.

use std::time::Duration;

use http::Method;

use crate::exchange::Exchange;
use crate::pipeline::arrive::admit::METHODS;
use crate::pipeline::forward::choose_upstream::upstream;
use crate::telemetry::Metrics;

/// `status` as the client saw it; 499 when it left before an answer.
pub fn run(exchange: &Exchange, metrics: &Metrics, method: &Method, status: u16, took: Duration) {
    let meters = exchange.meters();
    // Only methods we know become labels: a stranger mustn't invent series (class 104).
    if METHODS.contains(method) {
        meters.count_answer(metrics, method, status);
    } else {
        metrics.http_requests.with_label_values(&[exchange.route_name(), "other", "405"]).inc();
    }
    meters.duration.observe(took.as_secs_f64());
    if let Some(arrived) = exchange.arrived_after {
        meters.overhead.observe(arrived.as_secs_f64());
    }
    match exchange.refused {
        Some(code) => meters.count_denied(metrics, code),
        None => meters.count_allowed(),
    }
    if let Some(code) = exchange.would_deny {
        metrics.observed_denials.with_label_values(&[exchange.route_name(), code.as_str()]).inc();
    }
    if let (Some(took), Some(upstream)) = (exchange.upstream_took, upstream(exchange))
        && let Some(histogram) = exchange.edition.upstream_meter(upstream.index)
    {
        histogram.observe(took.as_secs_f64());
    }
    if let Some(outcome) = exchange.cache_outcome {
        metrics.cache_requests.with_label_values(&[exchange.route_name(), outcome]).inc();
    }
}
