//! What a traced request spends its time with. Requests that aren't traced have none of this.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use super::trace_context::TraceParent;

/// More spans of one request are left out; it has about ten.
const MAX_SPANS: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A stage of our own.
    Internal,
    /// The request as a whole.
    Server,
    /// Something that was asked of another program.
    Client,
}

#[derive(Debug, Clone)]
pub struct Span {
    pub name: String,
    pub kind: Kind,
    pub id: [u8; 8],
    pub parent: Option<[u8; 8]>,
    pub began: Instant,
    pub ended: Instant,
    pub attributes: Vec<(&'static str, String)>,
    /// A code, when it failed.
    pub error: Option<&'static str>,
}

impl Span {
    pub fn begin(name: impl Into<String>, kind: Kind, parent: Option<[u8; 8]>) -> Self {
        let now = Instant::now();
        Self {
            name: name.into(),
            kind,
            id: new_id(),
            parent,
            began: now,
            ended: now,
            attributes: Vec::new(),
            error: None,
        }
    }
}

/// Never all zero: a UUID says its variant there.
fn new_id() -> [u8; 8] {
    uuid::Uuid::new_v4().as_u64_pair().1.to_be_bytes()
}

/// One sampled request.
pub struct Trace {
    pub trace_id: [u8; 16],
    /// Of the span that is the request as a whole.
    pub span_id: [u8; 8],
    pub parent: Option<[u8; 8]>,
    flags: u8,
    /// `tracestate`, as it came.
    pub state: String,
    parts: Mutex<Parts>,
}

#[derive(Default)]
struct Parts {
    done: Vec<Span>,
    stage: Option<Span>,
}

impl Trace {
    /// A part of the trace that the client is in.
    pub fn continued(parent: TraceParent, state: String) -> Self {
        Self { parent: Some(parent.span_id), state, ..Self::begun(parent.trace_id, parent.flags) }
    }

    pub fn begun(trace_id: [u8; 16], flags: u8) -> Self {
        let span_id = new_id();
        Self { trace_id, span_id, parent: None, flags, state: String::new(), parts: Mutex::default() }
    }

    /// What an upstream is told: that the span with this id asks it.
    pub fn context(&self, span_id: [u8; 8]) -> TraceParent {
        TraceParent { trace_id: self.trace_id, span_id, flags: self.flags }
    }

    /// The stage before has ended, and this one begins.
    pub fn enter(&self, stage: &'static str) {
        let mut parts = self.parts.lock();
        parts.leave();
        parts.stage = Some(Span::begin(stage, Kind::Internal, Some(self.span_id)));
    }

    /// Something within the present stage, until it is dropped.
    pub fn open(self: &Arc<Self>, name: &'static str) -> OpenSpan {
        let parent = self.parts.lock().stage.as_ref().map_or(self.span_id, |stage| stage.id);
        OpenSpan(Box::new(Opened {
            trace: self.clone(),
            span: Some(Span::begin(name, Kind::Client, Some(parent))),
        }))
    }

    /// Everything that has ended; what is open as a stage ends now.
    pub fn take_spans(&self) -> Vec<Span> {
        let mut parts = self.parts.lock();
        parts.leave();
        std::mem::take(&mut parts.done)
    }
}

impl Parts {
    fn leave(&mut self) {
        if let Some(stage) = self.stage.take() {
            self.end(stage);
        }
    }

    fn end(&mut self, mut span: Span) {
        span.ended = Instant::now();
        if self.done.len() < MAX_SPANS {
            self.done.push(span);
        }
    }
}

/// Ends when dropped. Boxed, since futures hold it that mostly hold none.
pub struct OpenSpan(Box<Opened>);

struct Opened {
    trace: Arc<Trace>,
    /// Until the end.
    span: Option<Span>,
}

impl OpenSpan {
    pub fn id(&self) -> [u8; 8] {
        self.0.span.as_ref().map_or([0; 8], |span| span.id)
    }

    pub fn say(&mut self, attribute: &'static str, value: impl Into<String>) {
        if let Some(span) = &mut self.0.span {
            span.attributes.push((attribute, value.into()));
        }
    }

    pub fn fail(&mut self, code: &'static str) {
        if let Some(span) = &mut self.0.span {
            span.error = Some(code);
        }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if let Some(span) = self.span.take() {
            self.trace.parts.lock().end(span);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_follow_each_other_and_hold_what_is_asked_within_them() {
        let trace = Arc::new(Trace::begun([7; 16], 1));

        trace.enter("first");
        trace.enter("second");
        let mut asked = trace.open("store");
        asked.fail("store_unavailable");
        drop(asked);
        let spans = trace.take_spans();

        let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
        assert_eq!(names, ["first", "store", "second"]);
        assert_eq!(spans[1].parent, Some(spans[2].id));
        assert_eq!((spans[0].parent, spans[2].parent), (Some(trace.span_id), Some(trace.span_id)));
        assert_eq!(spans[1].error, Some("store_unavailable"));
        assert!(spans[0].ended <= spans[2].began);
    }

    #[test]
    fn a_request_has_only_so_many_spans() {
        let trace = Arc::new(Trace::begun([7; 16], 1));

        for _ in 0..1000 {
            trace.enter("again");
        }

        assert_eq!(trace.take_spans().len(), MAX_SPANS);
    }
}
