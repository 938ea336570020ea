//! The plain pages: what a service behind the gateway typically has to say.

use axum::Json;
use serde_json::{Value, json};

use crate::caller::Caller;

pub async fn hello() -> Json<Value> {
    Json(json!({ "message": "Hello, world" }))
}

pub async fn protected(caller: Caller) -> Json<Value> {
    Json(json!({ "message": format!("Hello, {}", caller.name()), "caller": caller }))
}

pub async fn secure_data(caller: Caller) -> Json<Value> {
    Json(json!({ "owner": caller.id, "data": [3, 1, 4, 1, 5, 9] }))
}

pub async fn topics() -> Json<Value> {
    Json(json!({ "topics": ["ownership", "lifetimes", "async", "traits"] }))
}

pub async fn dashboard(caller: Caller) -> Json<Value> {
    Json(json!({ "message": format!("Welcome to the dashboard, {}", caller.name()), "caller": caller }))
}
