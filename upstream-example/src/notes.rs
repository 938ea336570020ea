//! Notes of each user, kept in memory. Whose notes may be read is the gateway's business.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::app;
use crate::caller::Caller;

/// An example must not be a way to fill the memory.
const MAX_NOTES: usize = 100;
const MAX_TEXT_BYTES: usize = 1000;

#[derive(Default)]
pub struct Notebooks(Mutex<HashMap<String, Vec<Note>>>);

#[derive(Clone, Serialize)]
pub struct Note {
    text: String,
    author: Option<String>,
}

#[derive(Deserialize)]
pub struct NewNote {
    text: String,
}

impl Notebooks {
    fn of(&self, user: &str) -> Vec<Note> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(user).cloned().unwrap_or_default()
    }

    /// `false` when the notebook is full.
    fn add(&self, user: String, note: Note) -> bool {
        let mut books = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let notes = books.entry(user).or_default();
        if notes.len() >= MAX_NOTES {
            return false;
        }
        notes.push(note);
        true
    }
}

pub async fn list(State(state): State<Arc<app::State>>, Path(user): Path<String>) -> Json<Value> {
    Json(json!({ "user": user, "notes": state.notes.of(&user) }))
}

pub async fn add(
    State(state): State<Arc<app::State>>,
    Path(user): Path<String>,
    caller: Caller,
    Json(new): Json<NewNote>,
) -> (StatusCode, Json<Value>) {
    if new.text.len() > MAX_TEXT_BYTES {
        return (StatusCode::PAYLOAD_TOO_LARGE, Json(json!({ "error": "note_too_long" })));
    }
    let note = Note { text: new.text, author: caller.id };
    if !state.notes.add(user, note.clone()) {
        return (StatusCode::CONFLICT, Json(json!({ "error": "notebook_full" })));
    }
    (StatusCode::CREATED, Json(json!(note)))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;

    use crate::app::router;
    use crate::app::tests::{get_json, send};

    #[tokio::test]
    async fn a_note_is_kept_with_its_author() {
        let app = router();
        let request = Request::post("/users/7/notes")
            .header("content-type", "application/json")
            .header("x-forwarded-user", "7")
            .body(Body::from(r#"{"text":"buy milk"}"#))
            .expect("a plain request");

        let created = send(&app, request).await.status();

        assert_eq!(created, 201);
        assert_eq!(get_json(&app, "/users/7/notes").await.1["notes"][0]["text"], "buy milk");
        assert_eq!(get_json(&app, "/users/7/notes").await.1["notes"][0]["author"], "7");
        assert_eq!(get_json(&app, "/users/8/notes").await.1["notes"], serde_json::json!([]));
    }
}
