//! What people look up in the docs is there: every code, every metric.

use portcullis::identity::foreign::Cause;
use portcullis::rejection::Code;

use crate::harness;

const AUTH_API: &str = include_str!("../../docs/auth-api.md");
const OPERATIONS: &str = include_str!("../../docs/operations.md");

#[test]
fn every_code_is_documented_with_its_status() {
    for code in Code::ALL {
        let row = format!("| `{}` | {} |", code.as_str(), code.status().as_u16());
        assert!(AUTH_API.contains(&row), "docs/auth-api.md has no row that starts with {row}");
    }
}

#[test]
fn every_cause_of_a_refused_token_is_documented() {
    for cause in Cause::ALL {
        let word = format!("`{}`", cause.as_str());
        let is_told = OPERATIONS.lines().any(|line| line.starts_with("| `") && line.contains(&word));
        assert!(is_told, "docs/operations.md has no row of {word}");
    }
}

#[tokio::test]
async fn every_metric_is_documented() {
    let gw = harness::gateway("").await;
    let alice = gw.register("alice").await;
    alice.get("/protected").await;
    alice.logout().await;

    let metrics = gw.metrics().await;

    let names =
        metrics.0.lines().filter_map(|line| line.strip_prefix("# TYPE portcullis_")?.split(' ').next());
    let missing: Vec<_> = names.filter(|name| !OPERATIONS.contains(&format!("`{name}"))).collect();
    assert!(metrics.0.contains("# TYPE portcullis_http_requests_total"));
    assert!(missing.is_empty(), "docs/operations.md doesn't tell of {missing:?}");
}
