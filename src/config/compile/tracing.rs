//! `tracing:`

use http::{HeaderName, HeaderValue, Uri};

use super::Compiler;
use crate::config::place::Place;
use crate::config::policy::Tracing;
use crate::config::raw;
use crate::identity::secret::Secret;

/// Where a collector takes spans (OTLP §HTTP).
const PATH: &str = "/v1/traces";

impl Compiler<'_> {
    /// `None` without an endpoint, which is how tracing is switched off.
    pub fn tracing(&mut self, raw: raw::Tracing, at: &Place<'_>) -> Option<Tracing> {
        let sample = self.share(at, "sample", raw.sample);
        let service = raw.service.and_then(|service| self.plain_text(&at.key("service"), service));
        let headers = self.export_headers(raw.headers.unwrap_or_default(), &at.key("headers"));
        let endpoint = raw.endpoint.filter(|endpoint| !endpoint.is_empty())?;
        match whole_url(&endpoint) {
            Some(endpoint) => Some(Tracing {
                endpoint,
                sample,
                service: service.unwrap_or_else(|| "portcullis".to_owned()),
                headers,
            }),
            None => {
                let message =
                    format!("{endpoint:?} isn't the URL of a collector; write it like http://127.0.0.1:4318");
                self.problems.error(&at.key("endpoint"), message);
                None
            }
        }
    }

    fn export_headers(&mut self, raw: raw::Table<String>, at: &Place<'_>) -> Vec<(String, Secret)> {
        let mut headers = Vec::new();
        for (name, value) in self.entries(raw, at) {
            let Some(value) = value else { continue };
            if name.parse::<HeaderName>().is_err() || HeaderValue::from_str(&value).is_err() {
                self.problems.error(&at.key(&name), "this can't be a header field");
                continue;
            }
            headers.push((name, Secret::new(value)));
        }
        headers
    }
}

fn whole_url(endpoint: &str) -> Option<String> {
    let url: Uri = endpoint.parse().ok()?;
    let is_http =
        matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some_and(|host| !host.is_empty());
    let has_path = url.path() != "/";
    is_http.then(|| {
        if has_path { endpoint.to_owned() } else { format!("{}{PATH}", endpoint.trim_end_matches('/')) }
    })
}
