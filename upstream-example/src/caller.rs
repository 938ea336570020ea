//! Who is calling, according to the gateway's identity headers.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use serde::Serialize;

/// Absent headers stay `None`: nobody was authenticated.
#[derive(Debug, Serialize)]
pub struct Caller {
    pub id: Option<String>,
    pub username: Option<String>,
    pub groups: Vec<String>,
}

impl Caller {
    pub fn name(&self) -> &str {
        self.username.as_deref().or(self.id.as_deref()).unwrap_or("nobody")
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let text = |name| text(&parts.headers, name);
        let groups = text("x-forwarded-groups").unwrap_or_default();
        Ok(Self {
            id: text("x-forwarded-user"),
            username: text("x-forwarded-preferred-username"),
            groups: groups.split(',').filter(|group| !group.is_empty()).map(str::to_owned).collect(),
        })
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}
