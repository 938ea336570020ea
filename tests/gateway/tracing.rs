//! Traces: context passed on as W3C says, spans sent to a collector by OTLP, by either lane.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;
use reqwest::Method;
use tokio::net::TcpListener;

use crate::harness::{self, Client, Echo, Gateway, Reload, Setup, Stores, eventually};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

type Received = Arc<Mutex<Vec<(HeaderMap, ExportTraceServiceRequest)>>>;

/// Takes spans as an OpenTelemetry collector does: OTLP over HTTP, in protobuf.
struct Collector {
    address: SocketAddr,
    received: Received,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let received = Received::default();
        let router = Router::new().route("/v1/traces", post(take)).with_state(received.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, received }
    }

    fn yaml(&self) -> String {
        format!(
            "tracing: {{ endpoint: \"http://{}\", headers: {{ x-key: secret-of-the-collector }} }}",
            self.address
        )
    }

    fn spans(&self) -> Vec<Span> {
        let received = self.received.lock().expect("no holder panics");
        let resources = received.iter().flat_map(|(_, message)| message.resource_spans.clone());
        resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
    }

    /// All spans of the first request with this path, by name.
    async fn trace_of(&self, path: &str) -> HashMap<String, Span> {
        let whole = eventually("the spans", async || {
            self.spans().into_iter().find(|span| text(&span.attributes, "url.path").as_deref() == Some(path))
        })
        .await;
        let spans = self.spans().into_iter().filter(|span| span.trace_id == whole.trace_id);
        spans
            .map(|span| {
                if span.span_id == whole.span_id {
                    ("whole".to_owned(), span)
                } else {
                    (span.name.clone(), span)
                }
            })
            .collect()
    }
}

async fn take(State(received): State<Received>, headers: HeaderMap, body: Bytes) {
    let message = ExportTraceServiceRequest::decode(body).expect("an OTLP message");
    received.lock().expect("no holder panics").push((headers, message));
}

fn text(attributes: &[KeyValue], name: &str) -> Option<String> {
    let value = attributes.iter().find(|attribute| attribute.key == name)?.value.clone()?.value?;
    Some(match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        other => panic!("{name}: {other:?}"),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn echo(client: &Client, headers: &[(&str, &str)]) -> Echo {
    let request = client.request(Method::GET, "/echo?secret=1");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    Echo::of(client.send(request).await).await
}

#[tokio::test]
async fn a_request_leaves_spans_of_its_stages_and_its_upstream_by_either_lane() {
    for lane in ["true", "false"] {
        let collector = Collector::start().await;
        let yaml = format!("{}\nforwarding: {{ fast_lane: {lane} }}", collector.yaml());
        let gw = harness::gateway(yaml.as_str()).await;
        let alice = gw.register("alice").await;

        let echo = echo(&alice, &[]).await;

        let spans = collector.trace_of("/echo").await;
        let whole = &spans["whole"];
        assert_eq!((whole.name.as_str(), whole.kind), ("GET /echo", SpanKind::Server.into()));
        assert_eq!(whole.parent_span_id, Vec::<u8>::new());
        let id = alice.id().await;
        for (name, value) in [
            ("http.request.method", "GET"),
            ("http.response.status_code", "200"),
            ("http.route", "/echo"),
            ("portcullis.decision", "allow"),
            ("portcullis.reason", "ok"),
            ("enduser.id", &id),
            ("client.address", "127.0.0.1"),
        ] {
            assert_eq!(text(&whole.attributes, name).as_deref(), Some(value), "{name}");
        }
        let mut last = whole.start_time_unix_nano;
        for stage in ["admit", "assign_route", "authenticate", "meter", "authorize", "forward"] {
            let span = &spans[stage];
            assert_eq!(
                (&span.parent_span_id, span.kind),
                (&whole.span_id, SpanKind::Internal.into()),
                "{stage}"
            );
            assert!(
                last <= span.start_time_unix_nano && span.start_time_unix_nano <= span.end_time_unix_nano
            );
            last = span.end_time_unix_nano;
        }
        assert!(last <= whole.end_time_unix_nano);
        let upstream = &spans["upstream"];
        assert_eq!(
            (&upstream.parent_span_id, upstream.kind),
            (&spans["forward"].span_id, SpanKind::Client.into())
        );
        assert_eq!(
            text(&upstream.attributes, "server.port"),
            Some(gw.upstream().address().port().to_string())
        );
        let told = format!("00-{}-{}-01", hex(&whole.trace_id), hex(&upstream.span_id));
        assert_eq!(echo.fields("traceparent"), [told.as_str()]);
        assert_eq!(echo.fields("x-request-id"), [hex(&whole.trace_id).as_str()]);
        assert!(!format!("{:?}", collector.spans()).contains("secret"), "no query, no token");
        let received = collector.received.lock().expect("no holder panics");
        let (headers, message) = &received[0];
        assert_eq!(headers["content-type"], "application/x-protobuf");
        assert_eq!(headers["x-key"], "secret-of-the-collector");
        let resource = message.resource_spans[0].resource.as_ref().expect("it says who it is");
        assert_eq!(text(&resource.attributes, "service.name").as_deref(), Some("portcullis"));
        assert!(!gw.log().contains("secret-of-the-collector"));
    }
}

#[tokio::test]
async fn stores_and_the_auth_wing_have_spans_and_refusals_their_code() {
    let collector = Collector::start().await;
    let yaml = format!(
        "{}
limits: {{ per-user: {{ rate: 100/1m, by: user }} }}
routes:
  - {{ path: /protected, upstream: example, limits: [per-user] }}
  - {{ path: /expensive, upstream: example, access: public, cache: {{ ttl: 1h, vary_by: shared }} }}
  - {{ path: /dead, upstream: dead, access: public }}
upstreams:
  example: {{ servers: [\"${{UPSTREAM}}\"] }}
  dead: {{ servers: [\"127.0.0.1:1\"] }}
",
        collector.yaml()
    );
    let gw = harness::gateway(Setup::default().with(&yaml).stores(&Stores::servers().await)).await;
    let alice = gw.register("alice").await;

    alice.get("/protected").await;
    alice.get("/expensive").await;
    gw.anonymous().get("/dead").await;
    gw.anonymous().get("/nowhere").await;

    let spans = collector.trace_of("/protected").await;
    assert_eq!(spans["store: admit"].parent_span_id, spans["meter"].span_id);
    let spans = collector.trace_of("/auth/login").await;
    assert_eq!(spans["auth"].parent_span_id, spans["whole"].span_id);
    let spans = collector.trace_of("/expensive").await;
    assert_eq!(spans["store: find answer"].parent_span_id, spans["cache"].span_id);
    assert_eq!(text(&spans["whole"].attributes, "portcullis.cache").as_deref(), Some("miss"));
    let spans = collector.trace_of("/dead").await;
    for failed in ["whole", "upstream"] {
        let status = spans[failed].status.as_ref().expect("it failed");
        assert_eq!((status.code, status.message.as_str()), (2, "upstream_unreachable"), "{failed}");
    }
    let spans = collector.trace_of("/nowhere").await;
    assert_eq!(text(&spans["whole"].attributes, "portcullis.reason").as_deref(), Some("route_not_found"));
    assert_eq!(spans["whole"].status, None, "the client's mistake is no failure of ours");
    assert!(spans.contains_key("refuse") && !spans.contains_key("authenticate"));
}

#[tokio::test]
async fn whoever_began_a_trace_decides_whether_it_is_recorded() {
    let collector = Collector::start().await;
    let gw = harness::gateway(
        format!("{}\nroutes: [{{ path: /echo, upstream: example, access: public }}]", collector.yaml())
            .as_str(),
    )
    .await;
    let client = gw.anonymous();

    let unrecorded = PARENT.replace("-01", "-00");
    let passed_on = echo(&client, &[("traceparent", &unrecorded), ("tracestate", "a=1")]).await;
    assert_eq!(passed_on.fields("traceparent"), [unrecorded.as_str()]);
    assert_eq!(passed_on.fields("tracestate"), ["a=1"]);
    let recorded = echo(&client, &[("traceparent", PARENT), ("tracestate", "a=1,b=2")]).await;

    let spans = collector.trace_of("/echo").await;
    let whole = &spans["whole"];
    assert_eq!(hex(&whole.trace_id), &PARENT[3..35]);
    assert_eq!(hex(&whole.parent_span_id), &PARENT[36..52]);
    assert_eq!(whole.trace_state, "a=1,b=2");
    let told = format!("00-{}-{}-01", &PARENT[3..35], hex(&spans["upstream"].span_id));
    assert_eq!(recorded.fields("traceparent"), [told.as_str()]);
    assert_eq!(recorded.fields("tracestate"), ["a=1,b=2"]);
    let whole_ones = collector.spans().into_iter().filter(|span| span.kind == i32::from(SpanKind::Server));
    assert_eq!(whole_ones.count(), 1, "the unrecorded one left nothing");
}

#[tokio::test]
async fn a_malformed_trace_makes_place_for_a_new_one() {
    let collector = Collector::start().await;
    let route = "routes: [{ path: /echo, upstream: example, access: public }]";
    for yaml in [route.to_owned(), format!("{}\n{route}", collector.yaml())] {
        let gw = harness::gateway(yaml.as_str()).await;
        let client = gw.anonymous();
        let flag = if yaml == route { "-00" } else { "-01" };
        for headers in [
            &[("traceparent", "00-1-2-00"), ("tracestate", "a=1")][..],
            &[("traceparent", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")],
            &[("traceparent", PARENT), ("traceparent", PARENT), ("tracestate", "a=1")],
            &[("tracestate", "a=1")],
        ] {
            let echo = echo(&client, headers).await;

            let [begun] = echo.fields("traceparent")[..] else { panic!("{headers:?}") };
            assert_eq!(&begun[3..35], echo.fields("x-request-id")[0], "{headers:?}");
            assert!(begun.starts_with("00-") && begun.ends_with(flag), "{begun}");
            assert_eq!(echo.fields("tracestate"), Vec::<&str>::new(), "{headers:?}");
        }
    }
}

#[tokio::test]
async fn tracing_is_switched_by_a_reload_and_sampled() {
    let collector = Collector::start().await;
    let gw = harness::gateway("").await;
    let client = gw.anonymous();
    client.get("/public/hello?before").await;
    assert_eq!(gw.reload(collector.yaml().as_str()).await, Reload::InForce);
    client.get("/public/hello").await;
    collector.trace_of("/public/hello").await;
    let sampled = collector.yaml().replace("tracing: {", "tracing: { sample: 1/4,");
    assert_eq!(gw.reload(sampled.as_str()).await, Reload::InForce);
    for _ in 0..200 {
        client.get("/public/sampled").await;
    }
    assert_eq!(gw.reload("").await, Reload::InForce);
    client.get("/public/after").await;

    let of = |path: &str| {
        let spans = collector.spans().into_iter();
        spans.filter(|span| text(&span.attributes, "url.path").as_deref() == Some(path)).count()
    };
    let sampled =
        eventually("what was sampled", async || Some(of("/public/sampled")).filter(|count| *count >= 20))
            .await;
    assert!(sampled < 90, "{sampled} of 200");
    assert_eq!((of("/public/hello"), of("/public/after")), (1, 0));
}

/// Requests are answered as ever; what can't be sent is counted.
async fn answers_all_the_same(endpoint: SocketAddr) {
    let yaml = format!("tracing: {{ endpoint: \"http://{endpoint}\" }}");
    let gw: Gateway = harness::gateway(yaml.as_str()).await;
    let client = gw.anonymous();
    let dropped = eventually("spans that were dropped", async || {
        assert_eq!(client.get("/public/hello").await.status(), 200);
        gw.metrics().await.value("trace_spans_dropped_total", &[]).filter(|dropped| *dropped > 0.0)
    })
    .await;
    assert!(dropped > 0.0);
    let warnings =
        gw.json_log().iter().filter(|line| line.to_string().contains("spans can't be sent")).count();
    assert_eq!(warnings, 1, "said once");
}

#[tokio::test]
async fn a_collector_that_is_away_costs_spans_only() {
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port is free").local_addr().expect("bound");
    answers_all_the_same(closed).await;
}

#[tokio::test]
async fn a_collector_that_hangs_costs_spans_only() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    answers_all_the_same(silent.local_addr().expect("bound")).await;
}
