//! The table of contents: every path and who answers it.

use std::sync::Arc;

use axum::http::{StatusCode, Uri};
use axum::routing::{any, get};
use axum::{Json, Router, middleware};
use serde_json::{Value, json};

use crate::stats::{self, Stats};
use crate::{echo, expensive, live, notes, odd, pages};

/// A fresh backend: nothing counted, no notes.
pub fn router() -> Router {
    let stats = Arc::new(Stats::default());
    let counted = Router::new()
        .route("/public/hello", get(pages::hello))
        .route("/protected", get(pages::protected))
        .route("/auth/protected", get(pages::protected))
        .route("/secure/data", get(pages::secure_data))
        .route("/secure/heavy-task", get(expensive::heavy_task))
        .route("/expensive", get(expensive::expensive))
        .route("/questions/topics", get(pages::topics))
        .route("/admin/dashboard", get(pages::dashboard))
        .route("/users/{id}/notes", get(notes::list).post(notes::add))
        .route("/echo", any(echo::echo))
        .route("/ws", any(live::websocket))
        .route("/events", get(live::events))
        .route("/status/{code}", any(odd::status))
        .route("/slow", any(odd::slow))
        .route("/headers", any(odd::headers))
        .route("/big", get(odd::big))
        .fallback(not_found)
        .layer(middleware::from_fn_with_state(stats.clone(), stats::count))
        .with_state(Arc::new(State::default()));
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/stats", get(stats::report))
        .with_state(stats)
        .merge(counted)
}

/// What outlives a request.
#[derive(Default)]
pub struct State {
    pub notes: notes::Notebooks,
    pub computations: expensive::Computations,
}

async fn not_found(uri: Uri) -> (StatusCode, Json<Value>) {
    (StatusCode::NOT_FOUND, Json(json!({ "error": "not_found", "path": uri.path() })))
}

#[cfg(test)]
pub mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use axum::response::Response;
    use tower::ServiceExt;

    use super::*;

    pub async fn send(app: &Router, request: Request<Body>) -> Response {
        app.clone().oneshot(request).await.expect("the router never fails")
    }

    pub async fn get_json(app: &Router, target: &str) -> (StatusCode, Value) {
        let request = Request::get(target).body(Body::empty()).expect("a plain target");
        read_json(send(app, request).await).await
    }

    pub async fn read_json(response: Response) -> (StatusCode, Value) {
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.expect("a whole body");
        (status, serde_json::from_slice(&body).expect("JSON"))
    }

    #[tokio::test]
    async fn an_unknown_path_is_404_in_json() {
        let (status, body) = get_json(&router(), "/nowhere").await;

        assert_eq!(status, 404);
        assert_eq!(body["path"], "/nowhere");
    }

    #[tokio::test]
    async fn stats_count_each_call_by_path_but_not_the_probes() {
        let app = router();
        for target in ["/protected", "/protected?a=1", "/nowhere", "/healthz"] {
            let request = Request::get(target).body(Body::empty()).expect("a plain target");
            send(&app, request).await;
        }

        let (_, stats) = get_json(&app, "/stats").await;

        assert_eq!(stats, json!({ "calls": { "/protected": 2, "/nowhere": 1 } }));
    }
}
