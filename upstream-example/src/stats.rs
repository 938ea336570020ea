//! Counts calls by path, so that a test can say "this never reached the upstream".

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use serde_json::{Value, json};

/// Further paths aren't told apart.
const MAX_PATHS: usize = 10_000;

#[derive(Default)]
pub struct Stats(Mutex<BTreeMap<String, u64>>);

impl Stats {
    fn count(&self, path: &str) {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = calls.contains_key(path);
        let name = if is_known || calls.len() < MAX_PATHS { path } else { "(other)" };
        *calls.entry(name.to_owned()).or_default() += 1;
    }
}

pub async fn count(State(stats): State<Arc<Stats>>, request: Request, next: Next) -> Response {
    stats.count(request.uri().path());
    next.run(request).await
}

pub async fn report(State(stats): State<Arc<Stats>>) -> Json<Value> {
    let calls = stats.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Json(json!({ "calls": calls }))
}
