//! After the answer: the counters, the log line, and what followers and traces want to know.

mod access_log;
mod count;
mod decision;
mod spans;

use std::time::Duration;

use http::Method;

use crate::exchange::Exchange;
use crate::telemetry::Metrics;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::decisions::Decisions;

/// What is to be said beside the exchange.
pub struct Outcome<'a> {
    pub method: &'a Method,
    /// As received, with query; only its path is logged.
    pub target: &'a [u8],
    /// As the client saw it; 499 when it left before an answer.
    pub status: u16,
    /// `None` where it isn't known: the connection was cut.
    pub body_bytes: Option<usize>,
    /// From the end of the request's head to the end of the answer.
    pub took: Duration,
}

pub fn run(
    exchange: &mut Exchange,
    outcome: &Outcome,
    metrics: &Metrics,
    access_log: &AccessLog,
    decisions: &Decisions,
) {
    count::run(exchange, metrics, outcome);
    access_log::run(access_log, exchange, outcome);
    if decisions.is_followed() {
        decision::run(decisions, exchange, outcome);
    }
    if exchange.trace.is_some() {
        spans::run(exchange, outcome);
    }
}
