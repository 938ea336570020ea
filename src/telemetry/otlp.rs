//! Sends spans to an OpenTelemetry collector: OTLP, protobuf over HTTP. Requests put theirs into a bounded
//! queue and go on; a collector that is slow or away costs spans, which are counted, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span as Sent, Status, span::SpanKind, status,
};
use prometheus::IntCounter;
use prost::Message;
use reqwest::{Client, redirect};
use tokio::sync::mpsc;

use super::trace::{Kind, Span, Trace};
use crate::config::policy::Tracing;

/// Requests whose spans may wait.
const QUEUE: usize = 2048;
/// Requests whose spans go out together.
const BATCH: usize = 512;
/// Spans wait this long for others.
const GATHER: Duration = Duration::from_millis(200);
const TIMEOUT: Duration = Duration::from_secs(5);

/// The spans of one request.
struct Finished {
    trace: Arc<Trace>,
    spans: Vec<Span>,
    /// What the clock said when the first of them began.
    began_at: DateTime<Utc>,
}

pub struct Exporter {
    settings: Tracing,
    queue: mpsc::Sender<Finished>,
    dropped: IntCounter,
}

impl Exporter {
    /// Sends for as long as it lives; must be called within a runtime. `dropped` counts spans that were
    /// lost. `Err` explains what is wrong with the settings.
    pub fn start(settings: &Tracing, dropped: IntCounter) -> Result<Arc<Self>, String> {
        // `Err`: somebody has chosen one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().redirect(redirect::Policy::none()).no_proxy().timeout(TIMEOUT).build();
        let client = client.map_err(|error| format!("tracing: {error}"))?;
        let (queue, waiting) = mpsc::channel(QUEUE);
        let sender =
            Sender { settings: settings.clone(), client, dropped: dropped.clone(), is_failing: false };
        tokio::spawn(sender.run(waiting));
        Ok(Arc::new(Self { settings: settings.clone(), queue, dropped }))
    }

    pub fn serves(&self, settings: &Tracing) -> bool {
        self.settings == *settings
    }

    /// Never waits.
    pub fn export(&self, trace: Arc<Trace>, spans: Vec<Span>, began_at: DateTime<Utc>) {
        let count = spans.len() as u64;
        if self.queue.try_send(Finished { trace, spans, began_at }).is_err() {
            self.dropped.inc_by(count);
        }
    }
}

struct Sender {
    settings: Tracing,
    client: Client,
    dropped: IntCounter,
    is_failing: bool,
}

impl Sender {
    /// Until the exporter is gone and everything has been sent.
    async fn run(mut self, mut waiting: mpsc::Receiver<Finished>) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            if waiting.len() < BATCH && !waiting.is_closed() {
                tokio::time::sleep(GATHER).await;
            }
            if waiting.recv_many(&mut batch, BATCH).await == 0 {
                return;
            }
            let spans: Vec<Sent> = batch.drain(..).flat_map(to_sent).collect();
            let count = spans.len() as u64;
            let outcome = self.post(message(&self.settings, spans)).await;
            if outcome.is_err() {
                self.dropped.inc_by(count);
            }
            self.note(outcome);
        }
    }

    async fn post(&self, body: Vec<u8>) -> Result<(), String> {
        let mut request =
            self.client.post(&self.settings.endpoint).header("content-type", "application/x-protobuf");
        for (name, value) in &self.settings.headers {
            request = request.header(name.as_str(), value.expose());
        }
        let answer = request.body(body).send().await.map_err(|error| error.without_url().to_string())?;
        match answer.status().is_success() {
            true => Ok(()),
            false => Err(format!("it answered {}", answer.status())),
        }
    }

    /// Once at the beginning of an outage, and once at its end.
    fn note(&mut self, outcome: Result<(), String>) {
        let endpoint = &self.settings.endpoint;
        match (&outcome, self.is_failing) {
            (Err(reason), false) => tracing::warn!(endpoint, reason, "spans can't be sent; they are dropped"),
            (Ok(()), true) => tracing::info!(endpoint, "spans are sent again"),
            _ => {}
        }
        self.is_failing = outcome.is_err();
    }
}

fn message(settings: &Tracing, spans: Vec<Sent>) -> Vec<u8> {
    let resource = vec![
        attribute("service.name", settings.service.clone()),
        attribute("service.version", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    let scope = InstrumentationScope {
        name: "portcullis".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
    let resource = Some(Resource { attributes: resource, ..Resource::default() });
    let resource_spans = vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

fn to_sent(finished: Finished) -> impl Iterator<Item = Sent> {
    let Finished { trace, spans, began_at } = finished;
    let first = spans.iter().map(|span| span.began).min();
    let began_at = u64::try_from(began_at.timestamp_nanos_opt().unwrap_or(0)).unwrap_or(0);
    let nanos = move |at: std::time::Instant| {
        let since = first.map(|first| at.saturating_duration_since(first)).unwrap_or_default();
        began_at.saturating_add(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    };
    spans.into_iter().map(move |span| Sent {
        trace_id: trace.trace_id.to_vec(),
        span_id: span.id.to_vec(),
        trace_state: trace.state.clone(),
        parent_span_id: span.parent.map(|parent| parent.to_vec()).unwrap_or_default(),
        name: span.name,
        kind: kind(span.kind).into(),
        start_time_unix_nano: nanos(span.began),
        end_time_unix_nano: nanos(span.ended),
        attributes: span.attributes.into_iter().map(|(name, value)| attribute(name, value)).collect(),
        status: span
            .error
            .map(|code| Status { code: status::StatusCode::Error.into(), message: code.to_owned() }),
        ..Sent::default()
    })
}

fn kind(kind: Kind) -> SpanKind {
    match kind {
        Kind::Internal => SpanKind::Internal,
        Kind::Server => SpanKind::Server,
        Kind::Client => SpanKind::Client,
    }
}

fn attribute(name: &str, value: String) -> KeyValue {
    let value = match value.parse::<i64>() {
        Ok(number) if NUMBERS.contains(&name) => any_value::Value::IntValue(number),
        _ => any_value::Value::StringValue(value),
    };
    KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// What OpenTelemetry's conventions say is a number.
const NUMBERS: [&str; 2] = ["http.response.status_code", "server.port"];
