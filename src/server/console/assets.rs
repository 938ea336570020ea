//! Style sheet, icon, and the script that every page works without.

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

pub async fn style() -> Response {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("console.css")).into_response()
}

/// A portcullis.
pub async fn icon() -> Response {
    let icon = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path d="M2 15V6a6 5 0 0 1 12 0v9M5.5 3v11M10.5 3v11M8 2v12M2 7h12M2 11h12" fill="none" stroke="#2b5fb8" stroke-width="1.5"/></svg>"##;
    ([(CONTENT_TYPE, "image/svg+xml")], icon).into_response()
}

pub async fn script() -> Response {
    ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], include_str!("console.js")).into_response()
}
