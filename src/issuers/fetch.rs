//! Fetches an issuer's keys, again and again. A server that is away or answers nonsense changes
//! nothing: the last good keys stay.

use std::sync::Weak;
use std::time::{Duration, Instant};

use reqwest::{Certificate, Client, StatusCode, redirect};
use serde::Deserialize;

use super::TrustedIssuer;
use crate::config::policy::{Issuer, KeySource, TENANT};

/// For a whole fetch, discovery included.
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// No issuer publishes as much.
const MAX_BYTES: usize = 512 * 1024;
const MAX_REDIRECTS: usize = 3;

pub struct Source {
    client: Client,
    from: KeySource,
    /// What it may call itself.
    spellings: Vec<String>,
}

/// What is needed of OpenID Connect Discovery 1.0 §3.
#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
}

impl Source {
    pub fn new(issuer: &Issuer) -> Result<Self, String> {
        // `Err`: somebody has chosen one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let named = |error: reqwest::Error| format!("issuers.{}.ca: {error}", issuer.name);
        let mut client = Client::builder().redirect(redirect::Policy::custom(within_origin)).timeout(TIMEOUT);
        // Over TLS, a proxy of the environment (`HTTPS_PROXY`, `NO_PROXY`) can't change what passes.
        if !is_over_tls(&issuer.key_source) {
            client = client.no_proxy();
        }
        if let Some(pem) = &issuer.ca {
            client = client.tls_certs_merge(Certificate::from_pem_bundle(pem.as_bytes()).map_err(named)?);
        }
        let client = client.build().map_err(named)?;
        Ok(Self { client, from: issuer.key_source.clone(), spellings: issuer.spellings.clone() })
    }

    /// The JWK set, as the issuer sends it. `Err` is a reason for people.
    async fn fetch(&self) -> Result<Vec<u8>, String> {
        match &self.from {
            KeySource::Text(text) => Ok(text.clone().into_bytes()),
            KeySource::Url(url) => self.get(url).await,
            KeySource::Discovery(url) => {
                let document = self.get(url).await?;
                let found: Discovered = serde_json::from_slice(&document)
                    .map_err(|error| format!("{url} isn't a discovery document: {error}"))?;
                // §4.3: or a document could speak for somebody else.
                if !self.spellings.contains(&found.issuer) {
                    return Err(format!(
                        "{url} is of the issuer {:?}, {}",
                        found.issuer,
                        remedy(&found.issuer)
                    ));
                }
                if url.starts_with("https:") && !found.jwks_uri.starts_with("https:") {
                    return Err(format!("{url} leads away from https, to {:?}", found.jwks_uri));
                }
                self.get(&found.jwks_uri).await
            }
        }
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>, String> {
        let failed = |error: reqwest::Error| format!("{url}: {}", root_cause(&error));
        let mut response = self.client.get(url).send().await.map_err(failed)?;
        if response.status() != StatusCode::OK {
            return Err(format!("{url} answered {}", response.status()));
        }
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(failed)? {
            if body.len() + piece.len() > MAX_BYTES {
                return Err(format!("{url} sends more than {MAX_BYTES} bytes"));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }
}

/// A server may move its own documents, and no other server may step in.
fn within_origin(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let origin = |url: &reqwest::Url| {
        (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port_or_known_default())
    };
    let stays = attempt.previous().first().is_some_and(|first| origin(first) == origin(attempt.url()));
    match stays {
        true if attempt.previous().len() <= MAX_REDIRECTS => attempt.follow(),
        true => attempt.error("it redirects too often"),
        false => {
            attempt.error("it redirects to another server or scheme; name that URL in `jwks` if it is meant")
        }
    }
}

fn is_over_tls(source: &KeySource) -> bool {
    match source {
        KeySource::Discovery(url) | KeySource::Url(url) => url.starts_with("https:"),
        KeySource::Text(_) => false,
    }
}

/// What to do about a document that calls its issuer otherwise than the file.
fn remedy(issuer: &str) -> &'static str {
    match issuer.contains(TENANT) {
        true => {
            "which stands for many tenants: write it as the `issuer`, with `tenants`, or your tenant's own"
        }
        false => {
            "not of the one in the file; write that as the `issuer` if its tokens say so, or add it to the list"
        }
    }
}

/// What a client library says at the top is only that something failed.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// Fetches at once, then whenever the keys are old or one is missing; ends with the issuer.
pub async fn keep_up(issuer: Weak<TrustedIssuer>, source: Source) {
    loop {
        let Some(strong) = issuer.upgrade() else { return };
        strong.fetching.send_modify(|now| {
            now.is_under_way = true;
            now.began = Some(Instant::now());
        });
        let fetched = tokio::time::timeout(TIMEOUT, source.fetch()).await;
        let taken = strong.take(fetched.unwrap_or_else(|_| Err(format!("no answer within {TIMEOUT:?}"))));
        strong.fetching.send_modify(|now| {
            now.is_under_way = false;
            now.has_failed = !taken;
            now.ended += 1;
        });
        // Without any keys, every request waits for them: ask more often.
        let pause = if strong.has_keys() { strong.policy.refresh } else { strong.policy.cooldown };
        drop(strong);
        if !asked_within(&issuer, pause).await {
            return;
        }
    }
}

/// Waits for `pause`, or until somebody misses a key. `false` when the issuer is gone.
async fn asked_within(issuer: &Weak<TrustedIssuer>, pause: Duration) -> bool {
    /// How soon the end of an issuer is noticed.
    const STEP: Duration = Duration::from_secs(10);
    let until = Instant::now() + pause;
    loop {
        let Some(strong) = issuer.upgrade() else { return false };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        let wanted = tokio::time::timeout(left.min(STEP), strong.wanted.notified()).await.is_ok();
        // Whoever asked while a fetch was under way has been served by it.
        if wanted && strong.cooling_down().is_none() {
            return true;
        }
    }
}
