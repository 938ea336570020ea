//! How a refusal looks, wherever it comes from: a status, a code said twice, a problem document,
//! and the challenge of RFC 6750.

use reqwest::Response;
use serde_json::Value;

use crate::harness::{Client, Gateway, Reason as _};

/// An answer as far as refusals are concerned. `assert_eq!(refusal, (401, "token_expired"))`
#[derive(Debug)]
pub struct Refusal {
    pub status: u16,
    /// Empty on an answer that isn't a refusal.
    pub code: String,
    /// The problem document.
    pub body: Value,
}

impl PartialEq<(u16, &str)> for Refusal {
    fn eq(&self, (status, code): &(u16, &str)) -> bool {
        self.status == *status && self.code == *code
    }
}

impl Refusal {
    /// Reads the answer; panics when it is a refusal of another form than ours.
    pub async fn read(response: Response) -> Self {
        let status = response.status().as_u16();
        let code = response.reason().unwrap_or_default().to_owned();
        let field = |name: &str| {
            response.headers().get(name).map(|value| value.to_str().expect("plain text").to_owned())
        };
        let (content_type, cache_control) = (field("content-type"), field("cache-control"));
        let challenge = field("www-authenticate");
        let text = response.text().await.expect("a whole body");
        let body: Value = serde_json::from_str(&text).unwrap_or_default();
        if status >= 400 {
            assert_eq!(content_type.as_deref(), Some("application/problem+json"), "{text}");
            assert_eq!(cache_control.as_deref(), Some("no-store"), "{text}");
            assert_eq!((&body["code"], &body["status"]), (&code.clone().into(), &status.into()), "{text}");
            assert!(body["request_id"].as_str().is_some_and(|id| !id.is_empty()), "{text}");
            check_challenge(status, &code, challenge.as_deref());
        }
        Self { status, code, body }
    }

    pub fn detail(&self) -> &str {
        self.body["detail"].as_str().unwrap_or_default()
    }
}

/// RFC 6750 §3: a challenge with every 401, that names an error only when a token came.
fn check_challenge(status: u16, code: &str, challenge: Option<&str>) {
    let error = match code {
        "token_malformed"
        | "token_invalid"
        | "token_expired"
        | "token_not_yet_valid"
        | "token_revoked"
        | "token_stale" => Some("invalid_token"),
        "role_missing" => Some("insufficient_scope"),
        _ => None,
    };
    match (error, challenge) {
        (None, None) => assert_ne!(status, 401, "{code} came without a challenge"),
        (None, Some(challenge)) => assert_eq!((status, challenge), (401, "Bearer"), "{code}"),
        (Some(error), challenge) => {
            let challenge = challenge.unwrap_or_else(|| panic!("{code} came without a challenge"));
            let expected = format!("Bearer error=\"{error}\", error_description=\"");
            assert!(challenge.starts_with(&expected) && challenge.ends_with('"'), "{code}: {challenge}");
        }
    }
}

impl Client {
    /// `GET path` with this text as the bearer token.
    pub async fn present(&self, token: &str, path: &str) -> Refusal {
        let request = self.request_without_token(reqwest::Method::GET, path);
        let header = format!("Bearer {token}");
        Refusal::read(self.send(request.header("authorization", header)).await).await
    }
}

/// Presents each token, named by its case, and wants it refused with this code; nothing may reach
/// the upstream. A good token passes, so that the refusals mean something.
pub async fn assert_refused(gw: &Gateway, good: &str, code: &str, cases: &[(&str, String)]) {
    let client = gw.anonymous();
    for (case, token) in cases {
        let refusal = client.present(token, "/secure/data").await;
        assert_eq!(refusal, (401, code), "{case}: {token}");
    }
    assert_eq!(gw.upstream_calls("/secure/data").await, 0, "a refused request was forwarded");
    assert_eq!(client.present(good, "/protected").await.status, 200, "the good token");
}
