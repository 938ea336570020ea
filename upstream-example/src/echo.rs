//! Answers with the request as it arrived: what the gateway really sent on.

use std::future::poll_fn;
use std::pin::Pin;

use axum::Json;
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

/// Of longer bodies only the length is told.
const SHOWN_BODY_BYTES: usize = 64 * 1024;

pub async fn echo(request: Request) -> (StatusCode, Json<Value>) {
    let (head, body) = request.into_parts();
    let received = match read(body).await {
        Ok(received) => received,
        Err(error) => {
            let complaint = json!({ "error": "bad_body", "detail": error.to_string() });
            return (StatusCode::BAD_REQUEST, Json(complaint));
        }
    };
    let answer = json!({
        "method": head.method.as_str(),
        "target": head.uri.to_string(),
        "version": format!("{:?}", head.version),
        "headers": pairs(&head.headers),
        "trailers": pairs(&received.trailers),
        "body_length": received.length,
        "body": String::from_utf8_lossy(&received.start),
    });
    (StatusCode::OK, Json(answer))
}

/// `[name, value]` pairs; several fields of one name stand in the order they came.
fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}

#[derive(Default)]
struct Received {
    length: u64,
    start: Vec<u8>,
    trailers: HeaderMap,
}

async fn read(mut body: Body) -> Result<Received, axum::Error> {
    let mut received = Received::default();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        match frame?.into_data() {
            Ok(data) => {
                received.length += data.len() as u64;
                let room = SHOWN_BODY_BYTES - received.start.len();
                received.start.extend_from_slice(&data[..data.len().min(room)]);
            }
            Err(frame) => received.trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    Ok(received)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::app::router;
    use crate::app::tests::{read_json, send};

    #[tokio::test]
    async fn everything_that_came_is_told_duplicates_in_order() {
        let request = Request::put("/echo?b=2&a=%C3%A4")
            .header("x-twice", "first")
            .header("x_twice", "another name")
            .header("x-twice", "second")
            .body(Body::from("hello"))
            .expect("a plain request");

        let (status, told) = read_json(send(&router(), request).await).await;

        assert_eq!(status, 200);
        assert_eq!(told["method"], "PUT");
        assert_eq!(told["target"], "/echo?b=2&a=%C3%A4");
        assert_eq!(
            told["headers"],
            json!([["x-twice", "first"], ["x-twice", "second"], ["x_twice", "another name"]])
        );
        assert_eq!((&told["body_length"], &told["body"]), (&json!(5), &json!("hello")));
    }

    #[tokio::test]
    async fn of_a_long_body_the_start_is_shown_and_the_length_told() {
        let request = Request::post("/echo").body(Body::from(vec![b'a'; 100_000])).expect("a plain request");

        let (_, told) = read_json(send(&router(), request).await).await;

        assert_eq!(told["body_length"], 100_000);
        assert_eq!(told["body"].as_str().map(str::len), Some(SHOWN_BODY_BYTES));
    }
}
