//! The counters of an answered request. Labels are resolved beforehand; nothing is formatted.

use super::Outcome;
use crate::exchange::Exchange;
use crate::pipeline::arrive::admit::METHODS;
use crate::pipeline::arrive::meter;
use crate::pipeline::forward::choose_upstream::upstream;
use crate::rejection::Code;
use crate::telemetry::Metrics;

pub fn run(exchange: &Exchange, metrics: &Metrics, outcome: &Outcome) {
    let meters = exchange.meters();
    // Only methods we know become labels: a stranger mustn't invent series (class 104).
    if METHODS.contains(outcome.method) {
        meters.count_answer(metrics, outcome.method, outcome.status);
    } else {
        let status = outcome.status.to_string();
        metrics.http_requests.with_label_values(&[exchange.route_name(), "other", &status]).inc();
    }
    meters.duration.observe(outcome.took.as_secs_f64());
    if let Some(arrived) = exchange.arrived_after {
        meters.overhead.observe(arrived.as_secs_f64());
    }
    match exchange.refused {
        Some(code) if code.is_failure_of_upstream() => meters.count_failed(metrics, code),
        Some(code) => meters.count_denied(metrics, code),
        None => meters.count_allowed(),
    }
    let failed = exchange.refused.is_some_and(Code::is_failure_of_upstream);
    if let (Some(cause), Some(upstream)) =
        (exchange.failure.as_deref().filter(|_| failed), upstream(exchange))
    {
        metrics.upstream_failures.with_label_values(&[upstream.name.as_str(), cause]).inc();
    }
    if let Some(refused) = &exchange.refused_token {
        let labels = [refused.issuer.as_str(), refused.cause.as_str()];
        metrics.foreign_tokens_refused.with_label_values(&labels).inc();
    }
    if let Some(code) = exchange.would_deny {
        metrics.observed_denials.with_label_values(&[exchange.route_name(), code.as_str()]).inc();
    }
    if let (Some(took), Some(upstream)) = (exchange.upstream_took, upstream(exchange))
        && let Some(histogram) = exchange.edition.upstream_meter(upstream.index)
    {
        histogram.observe(took.as_secs_f64());
    }
    meter::count_hit(exchange);
    if let Some(outcome) = exchange.cache_outcome {
        meters.count_cached(metrics, outcome);
    }
}
