//! What is shipped beside the program: dashboards and alerts name metrics that exist, configurations
//! are right, manifests fit together.

use std::collections::BTreeSet;
use std::path::PathBuf;

use portcullis::config::marks::Values;
use portcullis::config::substitute::Surroundings;
use portcullis::server::load::{load_text_tested, render};
use serde_json::Value;

use crate::harness;

const DASHBOARD: &str = include_str!("../../deploy/grafana/portcullis.json");
const ALERTS: &str = include_str!("../../deploy/prometheus/alerts.yaml");
const KUBERNETES: &str = include_str!("../../deploy/kubernetes/portcullis.yaml");
const COMPOSE: &str = include_str!("../../compose.yaml");

fn yaml(text: &str) -> Value {
    Values::read(text).expect("YAML").tree
}

/// The metrics that a query names, without the suffixes of histograms.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let plain = |word: &str| {
        let stem = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| word.strip_suffix(suffix));
        stem.unwrap_or(word).to_owned()
    };
    words.filter(|word| word.starts_with("portcullis_")).map(plain).collect()
}

#[tokio::test]
async fn every_metric_that_dashboards_and_alerts_name_exists() {
    let gw = harness::gateway(
        "
        limits: { some: { rate: 100/1m, by: user } }
        routes:
          - { path: /protected, upstream: example, limits: [some] }
          - { path: /echo, upstream: example, access: { mode: observe } }
          - { path: /expensive, methods: [GET], upstream: example, access: public, cache: { ttl: 1h, vary_by: shared } }
        ",
    )
    .await;
    let alice = gw.register("alice").await;
    for path in ["/protected", "/expensive"] {
        assert_eq!(alice.get(path).await.status(), 200, "{path}");
    }
    gw.anonymous().get("/echo").await;
    alice.refresh().await;
    alice.logout().await;

    let metrics = gw.metrics().await.0;
    let exists = |name: &&String| metrics.contains(&format!("# TYPE {name} "));
    let panels = serde_json::from_str::<Value>(DASHBOARD).expect("JSON")["panels"].clone();
    let panels = panels.as_array().expect("a list").clone();
    let mut queries: Vec<String> = Vec::new();
    for target in panels.iter().flat_map(|panel| panel["targets"].as_array().cloned().unwrap_or_default()) {
        queries.push(target["expr"].as_str().expect("a query").to_owned());
    }
    let groups = yaml(ALERTS)["groups"].clone();
    let rules = groups[0]["rules"].as_array().expect("a list").clone();
    queries.extend(rules.iter().map(|rule| rule["expr"].as_str().expect("a query").to_owned()));

    assert!(queries.len() > 20, "{}", queries.len());
    let names: BTreeSet<String> = queries.iter().flat_map(|query| named(query)).collect();
    let missing: Vec<&String> = names.iter().filter(|name| !exists(name)).collect();
    assert!(names.len() > 15 && missing.is_empty(), "{missing:?} of {names:?}");
    for rule in &rules {
        assert!(
            rule["annotations"]["summary"].is_string() && rule["labels"]["severity"].is_string(),
            "{rule}"
        );
    }
}

/// Secrets and addresses as a cluster would give them.
struct Cluster;

impl Surroundings for Cluster {
    fn variable(&self, name: &str) -> Option<String> {
        let value = match name {
            "DATABASE_URL" => "postgres://portcullis:0f1e2d3c4b5a6978@postgres/portcullis",
            "REDIS_URL" => "redis://redis:6379",
            "PORTCULLIS_JWT_SECRET" => harness::SECRET,
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn file(&self, _: &str) -> Result<String, String> {
        Err("there is none".to_owned())
    }

    fn locate(&self, path: &str) -> PathBuf {
        path.into()
    }
}

#[test]
fn the_shipped_configurations_are_right_and_their_tests_hold() {
    let map = documents().into_iter().find(|document| document["kind"] == "ConfigMap").expect("there is one");
    let kubernetes = map["data"]["gateway.yaml"].as_str().expect("text").to_owned();
    let compose = include_str!("../../deploy/compose/gateway.yaml").to_owned();
    for text in [kubernetes, compose] {
        let loaded = load_text_tested("gateway.yaml", &text, &Cluster);
        let loaded = loaded.unwrap_or_else(|problems| panic!("{}", render(&problems)));
        assert_eq!(render(&loaded.warnings), "");
        assert!(!loaded.policy.tests.is_empty());
    }
}

fn documents() -> Vec<Value> {
    KUBERNETES.split("\n---\n").map(yaml).collect()
}

#[test]
fn the_manifests_fit_together() {
    let documents = documents();
    let kind = |kind: &str| documents.iter().find(|document| document["kind"] == kind).expect("there is one");
    let pods = &kind("Deployment")["spec"]["template"];
    let container = &pods["spec"]["containers"][0];
    let labels = &pods["metadata"]["labels"];

    assert_eq!(&kind("Deployment")["spec"]["selector"]["matchLabels"], labels);
    assert_eq!(&kind("PodDisruptionBudget")["spec"]["selector"]["matchLabels"], labels);
    assert_eq!(&kind("Service")["spec"]["selector"], labels);
    let ports: Vec<&Value> =
        container["ports"].as_array().expect("a list").iter().map(|port| &port["name"]).collect();
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        assert!(ports.contains(&&container[probe]["httpGet"]["port"]), "{probe}");
    }
    assert!(ports.contains(&&kind("Service")["spec"]["ports"][0]["targetPort"]));
    assert_eq!(pods["spec"]["volumes"][0]["configMap"]["name"], kind("ConfigMap")["metadata"]["name"]);
    assert_eq!(container["volumeMounts"][0]["mountPath"], "/etc/portcullis");
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(pods["spec"]["securityContext"]["runAsNonRoot"], true);
}

#[test]
fn compose_starts_two_gateways_that_share_their_stores() {
    let compose = yaml(COMPOSE);
    let services = compose["services"].as_object().expect("a mapping");
    let shared = &compose["x-gateway"];

    let gateways = services.values().filter(|service| &service["<<"] == shared).count();
    assert_eq!(gateways, 2);
    for name in shared["depends_on"].as_object().expect("a mapping").keys() {
        assert!(services.contains_key(name), "{name}");
    }
}
