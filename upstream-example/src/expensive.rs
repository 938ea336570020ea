//! The pages that cost something: one burns a processor, one only takes its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app;

/// About a second in a debug build; each step more costs 1.6 times as much.
const MAX_N: u32 = 40;

/// How often `/expensive` was computed.
#[derive(Default)]
pub struct Computations(AtomicU64);

#[derive(Deserialize)]
pub struct HeavyTask {
    #[serde(default = "default_n")]
    n: u32,
}

fn default_n() -> u32 {
    30
}

pub async fn heavy_task(Query(task): Query<HeavyTask>) -> Result<Json<Value>, (StatusCode, Json<Value>)> {
    let n = task.n;
    if n > MAX_N {
        let complaint = json!({ "error": "bad_request", "detail": format!("n is at most {MAX_N}") });
        return Err((StatusCode::BAD_REQUEST, Json(complaint)));
    }
    match tokio::task::spawn_blocking(move || fibonacci(n)).await {
        Ok(result) => Ok(Json(json!({ "n": n, "fibonacci": result }))),
        Err(_) => Err((StatusCode::INTERNAL_SERVER_ERROR, Json(json!({ "error": "internal" })))),
    }
}

/// Takes 300 ms. `computation` goes up with each computation, so that a cached answer shows.
pub async fn expensive(State(state): State<Arc<app::State>>) -> Json<Value> {
    tokio::time::sleep(Duration::from_millis(300)).await;
    let computation = state.computations.0.fetch_add(1, Ordering::Relaxed) + 1;
    let computed_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Json(
        json!({ "answer": 42, "computation": computation, "computed_at_ms": computed_at.as_millis() as u64 }),
    )
}

/// Slow on purpose.
fn fibonacci(n: u32) -> u64 {
    if n < 2 { u64::from(n) } else { fibonacci(n - 1) + fibonacci(n - 2) }
}

#[cfg(test)]
mod tests {
    use crate::app::router;
    use crate::app::tests::get_json;

    #[tokio::test]
    async fn a_heavy_task_is_bounded() {
        let app = router();

        assert_eq!(get_json(&app, "/secure/heavy-task?n=20").await.1["fibonacci"], 6765);
        assert_eq!(get_json(&app, "/secure/heavy-task?n=41").await.0, 400);
    }

    #[tokio::test]
    async fn each_computation_has_a_number_of_its_own() {
        let app = router();

        assert_eq!(get_json(&app, "/expensive").await.1["computation"], 1);
        assert_eq!(get_json(&app, "/expensive").await.1["computation"], 2);
    }
}
