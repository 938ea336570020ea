//! The spans of a traced request, once it is over. Names and attributes are those of OpenTelemetry's HTTP
//! conventions.

use std::time::Instant;

use super::Outcome;
use crate::exchange::Exchange;
use crate::telemetry::trace::{Kind, Span, Trace};

pub fn run(exchange: &mut Exchange, outcome: &Outcome) {
    let (Some(trace), Some(exporter)) = (exchange.trace.take(), exchange.edition.exporter.clone()) else {
        return;
    };
    if let Some(mut unanswered) = exchange.upstream_span.take() {
        unanswered.fail(exchange.refused.map_or("client_gone", |code| code.as_str()));
    }
    let mut spans = trace.take_spans();
    spans.push(whole(&trace, exchange, outcome));
    exporter.export(trace, spans, exchange.arrived_at);
}

fn whole(trace: &Trace, exchange: &Exchange, outcome: &Outcome) -> Span {
    let route = exchange.route.as_ref();
    let path = outcome.target.split(|byte| *byte == b'?').next().unwrap_or_default();
    let mut attributes = vec![
        ("http.request.method", outcome.method.to_string()),
        ("http.response.status_code", outcome.status.to_string()),
        ("url.scheme", exchange.client.scheme.to_owned()),
        ("url.path", String::from_utf8_lossy(path).into_owned()),
        ("client.address", exchange.client.address_text.clone()),
        ("portcullis.request_id", exchange.request_id.to_string()),
        ("portcullis.route", exchange.route_name().to_owned()),
        ("portcullis.decision", if exchange.is_denied() { "deny" } else { "allow" }.to_owned()),
        ("portcullis.reason", exchange.refused.map_or("ok", |code| code.as_str()).to_owned()),
    ];
    attributes.extend(route.map(|route| ("http.route", route.path.clone())));
    attributes
        .extend(exchange.identity.as_ref().map(|identity| ("enduser.id", identity.user_id.to_string())));
    attributes.extend(exchange.failure.as_ref().map(|cause| ("portcullis.cause", cause.to_string())));
    attributes.extend(exchange.cache_outcome.map(|outcome| ("portcullis.cache", outcome.to_owned())));
    Span {
        name: route
            .map_or_else(|| outcome.method.to_string(), |route| format!("{} {}", outcome.method, route.path)),
        kind: Kind::Server,
        id: trace.span_id,
        parent: trace.parent,
        began: exchange.started,
        ended: Instant::now(),
        attributes,
        error: exchange.refused.filter(|_| outcome.status >= 500).map(|code| code.as_str()),
    }
}
