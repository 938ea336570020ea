//! Clients by role: anonymous, a registered user, an admin.

use std::sync::{Once, RwLock};

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use super::PASSWORD;

/// A client of one gateway, with a cookie jar and, once logged in, an access token.
pub struct Client {
    http: reqwest::Client,
    /// `http://127.0.0.1:12345`
    base: String,
    username: String,
    token: RwLock<Option<String>>,
}

/// The code in the header `Portcullis-Reason`.
pub trait Reason {
    /// `None` on an answer of the upstream's.
    fn reason(&self) -> Option<&str>;
}

impl Reason for Response {
    fn reason(&self) -> Option<&str> {
        self.headers().get("portcullis-reason").map(|code| code.to_str().expect("codes are ASCII"))
    }
}

/// No redirects, no proxy from the environment; a provider for TLS.
pub fn builder() -> reqwest::ClientBuilder {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // Fails only when another test has done it.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none())
}

impl Client {
    pub(super) fn new(http: reqwest::ClientBuilder, base: String, username: &str) -> Self {
        let http = http.cookie_store(true).build().expect("nothing in it can fail");
        Self { http, base, username: username.to_owned(), token: RwLock::new(None) }
    }

    pub async fn get(&self, path: &str) -> Response {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Response {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// With the access token, if there is one. `path` is tidied by the client as a browser would;
    /// for other targets there is `Gateway::raw`.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.request_without_token(method, path);
        match &*self.token.read().expect("no holder panics") {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// The cookie jar only.
    pub fn request_without_token(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    /// Panics when no answer comes at all.
    pub async fn send(&self, request: RequestBuilder) -> Response {
        request.send().await.expect("the gateway answers")
    }

    pub fn username(&self) -> &str {
        &self.username
    }

    /// The account's id, from /auth/me.
    pub async fn id(&self) -> String {
        let me: Value = self.get("/auth/me").await.json().await.expect("/auth/me answers in JSON");
        me["id"].as_str().expect("/auth/me tells the id").to_owned()
    }

    /// The access token; panics before the first login.
    pub fn token(&self) -> String {
        self.token.read().expect("no holder panics").clone().expect("logged in")
    }

    pub fn set_token(&self, token: Option<String>) {
        *self.token.write().expect("no holder panics") = token;
    }

    /// A new session with [`PASSWORD`]; the token and cookie replace those before.
    pub async fn login(&self) {
        let credentials = json!({ "username": self.username, "password": PASSWORD });
        let request = self.request_without_token(Method::POST, "/auth/login").json(&credentials);
        self.keep_token(self.send(request).await).await;
    }

    /// By the cookie; the token and cookie replace those before.
    pub async fn refresh(&self) {
        let request = self.request_without_token(Method::POST, "/auth/refresh");
        self.keep_token(self.send(request).await).await;
    }

    /// Ends this session. The token is kept: to see it refused.
    pub async fn logout(&self) {
        let response = self.send(self.request(Method::POST, "/auth/logout")).await;
        assert!(response.status().is_success(), "logout: {response:?}");
    }

    async fn keep_token(&self, response: Response) {
        let status = response.status();
        let body = response.text().await.expect("a whole body");
        assert_eq!(status, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).expect("tokens come in JSON");
        self.set_token(Some(answer["access_token"].as_str().expect("an access token").to_owned()));
    }
}
