//! What goes on record of each request, however it ends.

use std::borrow::Cow;
use std::sync::Arc;

use prometheus::IntGauge;

use crate::exchange::{Exchange, Running};
use crate::pipeline::settle::{self, Outcome};
use crate::telemetry::Metrics;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::decisions::Decisions;

/// The client got no answer before the end.
const NONE: u16 = 499;

pub struct Records {
    pub metrics: Arc<Metrics>,
    pub access_log: Arc<AccessLog>,
    pub decisions: Arc<Decisions>,
}

impl Records {
    pub fn note(&self, exchange: &mut Exchange, outcome: &Outcome) {
        exchange.is_settled = true;
        settle::run(exchange, outcome, &self.metrics, &self.access_log, &self.decisions);
    }
}

impl Running for Records {
    fn in_flight(&self) -> &IntGauge {
        &self.metrics.http_requests_in_flight
    }

    /// A stream of events, or a socket, that was still open when the gateway ended.
    fn note_cut(&self, exchange: &mut Exchange) {
        let cause = if std::thread::panicking() { "panic" } else { "shutdown" };
        exchange.failure = Some(Cow::Borrowed(cause));
        let (method, path) = (exchange.method.clone(), exchange.path.clone());
        let outcome = Outcome {
            method: &method,
            target: path.as_bytes(),
            status: exchange.answer_began.map_or(NONE, |status| status.as_u16()),
            body_bytes: None,
            took: exchange.started.elapsed(),
        };
        self.note(exchange, &outcome);
    }
}
