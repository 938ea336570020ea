//! Answers on demand, ordinary and odd: what a gateway must cope with.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::Deserialize;
use serde_json::json;

const MAX_SLOW_MS: u64 = 60_000;
const MAX_BIG_BYTES: u64 = 1 << 30;
const CHUNK_BYTES: u64 = 64 * 1024;

/// `/status/503` answers 503.
pub async fn status(Path(code): Path<u16>) -> Response {
    match StatusCode::from_u16(code) {
        Ok(status) if code >= 200 => (status, Json(json!({ "status": code }))).into_response(),
        _ => bad_request("a final status lies between 200 and 999"),
    }
}

#[derive(Deserialize)]
pub struct Slow {
    ms: u64,
}

/// `/slow?ms=500` takes half a second; a minute at most.
pub async fn slow(Query(slow): Query<Slow>) -> Response {
    tokio::time::sleep(Duration::from_millis(slow.ms.min(MAX_SLOW_MS))).await;
    Json(json!({ "ms": slow.ms })).into_response()
}

/// `/headers?cache-control=no-store&x-a=1&x-a=2` answers with these fields, in this order.
pub async fn headers(Query(fields): Query<Vec<(String, String)>>) -> Response {
    let mut response = Json(json!({ "fields": fields.len() })).into_response();
    for (name, value) in fields {
        let field = HeaderName::try_from(&name).ok().zip(HeaderValue::try_from(&value).ok());
        let Some((name, value)) = field else {
            return bad_request("a field isn't legal in HTTP");
        };
        if name == header::CONTENT_LENGTH || name == header::TRANSFER_ENCODING {
            return bad_request("the framing of the answer isn't yours to choose");
        }
        if name == header::CONTENT_TYPE {
            response.headers_mut().insert(name, value);
        } else {
            response.headers_mut().append(name, value);
        }
    }
    response
}

#[derive(Deserialize)]
pub struct Big {
    bytes: u64,
}

/// `/big?bytes=1000000` streams that many bytes, chunked; 1 GiB at most.
pub async fn big(Query(big): Query<Big>) -> Response {
    let body = stream::unfold(big.bytes.min(MAX_BIG_BYTES), async |left| {
        let size = left.min(CHUNK_BYTES);
        let chunk = vec![b'x'; usize::try_from(size).unwrap_or_default()];
        (size > 0).then(|| (Ok::<_, std::convert::Infallible>(chunk), left - size))
    });
    ([(header::CONTENT_TYPE, "application/octet-stream")], Body::from_stream(body)).into_response()
}

fn bad_request(detail: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({ "error": "bad_request", "detail": detail }))).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use axum::extract::Request;

    use super::*;
    use crate::app::router;
    use crate::app::tests::send;

    async fn get(target: &str) -> Response {
        send(&router(), Request::get(target).body(Body::empty()).expect("a plain target")).await
    }

    #[tokio::test]
    async fn the_answer_carries_the_fields_of_the_query() {
        let response = get("/headers?x-a=1&x-a=2&vary=*&content-type=text/html").await;

        let values: Vec<_> = response.headers().get_all("x-a").iter().collect();
        assert_eq!(values, ["1", "2"]);
        assert_eq!(response.headers()["vary"], "*");
        assert_eq!(response.headers()["content-type"], "text/html");
    }

    #[tokio::test]
    async fn a_field_that_would_break_the_answer_is_refused() {
        assert_eq!(get("/headers?content-length=5").await.status(), 400);
        assert_eq!(get("/headers?a%0ab=5").await.status(), 400);
    }

    #[tokio::test]
    async fn big_streams_exactly_what_was_asked_for() {
        let body = to_bytes(get("/big?bytes=200001").await.into_body(), usize::MAX).await;

        assert_eq!(body.expect("a whole body").len(), 200_001);
    }

    #[tokio::test]
    async fn any_final_status_can_be_had() {
        assert_eq!(get("/status/503").await.status(), 503);
        assert_eq!(get("/status/100").await.status(), 400);
        assert_eq!(get("/status/oops").await.status(), 400);
    }
}
