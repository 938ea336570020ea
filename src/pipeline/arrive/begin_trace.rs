//! Is this request recorded as part of a trace? Whoever began the trace has decided that; a trace that
//! begins here is recorded if it is one of the sample.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};

use crate::config::policy::Tracing;
use crate::telemetry::request_id::RequestId;
use crate::telemetry::trace::Trace;
use crate::telemetry::trace_context::{SAMPLED, TraceParent};

pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

pub fn run(fields: &HeaderMap, request_id: &RequestId, tracing: &Tracing) -> Option<Arc<Trace>> {
    let trace = match parent(fields) {
        Some(parent) if parent.is_sampled() => Trace::continued(parent, state(fields)),
        Some(_) => return None,
        None if tracing.sample.takes(|| request_id.number()) => Trace::begun(request_id.trace_id(), SAMPLED),
        None => return None,
    };
    Some(Arc::new(trace))
}

/// The one valid `traceparent`; two of them are none (W3C Trace Context §3.2).
pub fn parent(fields: &HeaderMap) -> Option<TraceParent> {
    let mut values = fields.get_all(&TRACEPARENT).iter();
    let parent = TraceParent::parse(values.next()?.as_bytes())?;
    values.next().is_none().then_some(parent)
}

fn state(fields: &HeaderMap) -> String {
    let values = fields.get_all(&TRACESTATE).iter().filter_map(|value| value.to_str().ok());
    values.collect::<Vec<_>>().join(",")
}
