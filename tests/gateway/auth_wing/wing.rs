//! A router with stores of its own, and clients that speak to it as the proxy does.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::header::{CONTENT_TYPE, COOKIE, SET_COOKIE};
use http::{HeaderMap, Method, Request, StatusCode};
use portcullis::auth::administration::{Administration, Operator};
use portcullis::auth::{self, BadBearer, Caller, Mailer, PasswordQueue, Settings, Stores};
use portcullis::clock;
use portcullis::config::policy::Policy;
use portcullis::identity::refresh::RefreshKeys;
use portcullis::identity::token::KeyRing;
use portcullis::identity::vault::Vault;
use portcullis::identity::{Identity, UserId, one_time, totp};
use portcullis::rejection::Code;
use portcullis::store::sqlite::{SqliteState, SqliteUsers};
use portcullis::store::{
    Account, Accounts, AuditEvent, AuditFilter, AuditLog, AuditRecord, Bearer, OneTimeToken, Purpose,
    Revocations, Standing,
};
use portcullis::telemetry::Metrics;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::faulty::Faulty;
use super::policy::policy;

pub const PASSWORD: &str = "correct horse battery";

pub struct Wing {
    router: Router,
    pub stores: Arc<Faulty>,
    shared: Stores,
    passwords: PasswordQueue,
    pub settings: Settings,
    pub metrics: Arc<Metrics>,
    _directory: tempfile::TempDir,
}

/// With the default policy of these tests.
pub async fn wing() -> Wing {
    Wing::with(|_| ()).await
}

impl Wing {
    pub async fn with(change: impl FnOnce(&mut Policy)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let stores = Arc::new(Faulty::new(open_stores(directory.path()).await));
        let metrics = Arc::new(Metrics::new());
        let passwords = PasswordQueue::start(1, 256, metrics.clone()).unwrap();
        let shared = Stores {
            accounts: stores.clone(),
            api_keys: stores.api_keys(),
            audit: stores.clone(),
            sessions: stores.clone(),
            revocations: stores.clone(),
            lockouts: stores.clone(),
            notices: stores.notices(),
            one_time_tokens: stores.one_time_tokens(),
            second_factors: stores.second_factors(),
        };
        let mailer = Mailer::new(shared.clone(), metrics.clone());
        let router = auth::router(shared.clone(), passwords.clone(), mailer, metrics.clone());
        let mut policy = policy();
        change(&mut policy);
        let settings = settings(policy);
        Self { router, stores, shared, passwords, settings, metrics, _directory: directory }
    }

    /// What a reload does to the requests that follow.
    pub fn reload(&mut self, change: impl FnOnce(&mut Policy)) {
        let mut policy = policy();
        change(&mut policy);
        self.settings = settings(policy);
    }

    pub fn post(&self, path: &str) -> Call<'_> {
        Call::new(self, Method::POST, path)
    }

    pub fn get(&self, path: &str) -> Call<'_> {
        Call::new(self, Method::GET, path)
    }

    pub fn call(&self, method: Method, path: &str) -> Call<'_> {
        Call::new(self, method, path)
    }

    pub async fn register(&self, username: &str) -> Account {
        let body = json!({ "username": username, "password": PASSWORD, "email": "a@example.org" });
        let answer = self.post("/register").json(body).send().await;
        assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.body);
        self.account(username).await
    }

    pub async fn account(&self, username: &str) -> Account {
        self.stores.find_by_username(username).await.unwrap().unwrap()
    }

    async fn account_by_id(&self, id: UserId) -> Account {
        self.stores.find_by_id(id).await.unwrap().unwrap()
    }

    pub async fn login(&self, username: &str, password: &str) -> Answer {
        self.post("/login").json(json!({ "username": username, "password": password })).send().await
    }

    /// A login whose refresh token comes in the body.
    pub async fn native_login(&self, username: &str) -> Pair {
        let body = json!({ "username": username, "password": PASSWORD, "refresh_token": "body" });
        self.post("/login").json(body).send().await.tokens()
    }

    pub async fn refresh(&self, refresh_token: &str) -> Answer {
        self.post("/refresh").json(json!({ "refresh_token": refresh_token })).send().await
    }

    pub fn read(&self, access_token: &str) -> Identity {
        self.settings.keys.verify(access_token, clock::now()).unwrap()
    }

    pub async fn standing(&self, access_token: &str) -> Standing {
        let bearer = Bearer::from(&self.read(access_token));
        Revocations::standing(&*self.stores, bearer, clock::now()).await.unwrap()
    }

    /// Newest first.
    pub async fn audited(&self) -> Vec<(AuditEvent, Option<UserId>, String)> {
        let entries = AuditLog::find(&*self.stores, &AuditFilter::default(), 100).await.unwrap();
        let records = entries.into_iter().map(|entry| entry.record);
        records.map(|record| (record.event, record.user_id, record.username)).collect()
    }

    /// What a mail would bring to the account's address, which is confirmed for it.
    pub async fn reset_token(&self, account: &Account) -> String {
        let account = self.administration().confirm_email(&account.username, true).await.unwrap();
        let text = one_time::mint();
        let token = OneTimeToken {
            hash: one_time::hash(&text),
            purpose: Purpose::ResetPassword,
            user_id: account.id,
            address: account.email.clone(),
            version: Some(account.version),
            created_at: clock::now(),
            expires_at: clock::now() + Duration::from_secs(600),
        };
        let most = (5, Duration::from_secs(600));
        assert!(self.stores.one_time_tokens().keep(&token, most).await.unwrap());
        text.to_string()
    }

    /// The secret of an authenticator app, which is to be confirmed.
    pub async fn begin_factor(&self, pair: &Pair) -> Vec<u8> {
        let begun = self.post("/mfa/totp").bearer(&pair.access).json(json!({ "password": PASSWORD }));
        let begun = begun.send().await;
        assert_eq!(begun.status, StatusCode::CREATED, "{:?}", begun.body);
        let id = self.read(&pair.access).user_id;
        let factor = self.stores.second_factors().find(id).await.unwrap().unwrap();
        self.settings.vault.open(&factor.sealed_secret, id).unwrap().secret.to_vec()
    }

    /// A new account with a second factor, and the next code of its app.
    pub async fn enrolled(&self, username: &str) -> (Account, String) {
        self.register(username).await;
        let pair = self.native_login(username).await;
        let secret = self.begin_factor(&pair).await;
        let step = step();
        let code = json!({ "code": totp::code(&secret, step) });
        let confirmed = self.post("/mfa/totp/confirm").bearer(&pair.access).json(code).send().await;
        assert_eq!(confirmed.status, StatusCode::OK, "{:?}", confirmed.body);
        (self.account(username).await, totp::code(&secret, step + 1))
    }

    /// Behind the API's back.
    pub async fn set_disabled(&self, id: UserId, disabled: bool) {
        let account = self.account_by_id(id).await;
        self.stores.set_disabled(&account, disabled, clock::now(), &record()).await.unwrap();
    }

    /// Behind the API's back.
    pub async fn set_roles(&self, id: UserId, roles: &[&str]) {
        let roles: Vec<String> = roles.iter().map(|role| (*role).to_owned()).collect();
        let account = self.account_by_id(id).await;
        self.stores.set_roles(&account, &roles, clock::now(), &record()).await.unwrap();
    }

    /// Behind the API's back.
    pub async fn delete_account(&self, id: UserId) {
        self.stores.delete(&self.account_by_id(id).await, &record()).await.unwrap();
    }

    /// In the name of somebody at the command line.
    pub fn administration(&self) -> Administration {
        let name = "cli:root".to_owned();
        Administration {
            stores: self.shared.clone(),
            policy: self.settings.policy.clone(),
            passwords: self.passwords.clone(),
            mailer: Mailer::new(self.shared.clone(), self.metrics.clone()),
            operator: Operator { name, address: None, user_agent: None, request_id: None },
        }
    }

    pub fn metric(&self, line: &str) -> bool {
        String::from_utf8(self.metrics.render()).unwrap().lines().any(|own| own == line)
    }
}

/// The tokens of an answer that has both in its body.
pub struct Pair {
    pub access: String,
    pub refresh: String,
}

/// One request. By default it comes over HTTPS to `gate.example`.
pub struct Call<'a> {
    wing: &'a Wing,
    request: http::request::Builder,
    caller: Caller,
    bearer: Option<Arc<Identity>>,
    bad_bearer: Option<BadBearer>,
    body: Vec<u8>,
}

impl<'a> Call<'a> {
    fn new(wing: &'a Wing, method: Method, path: &str) -> Self {
        let caller = Caller {
            address: [203, 0, 113, 7].into(),
            request_id: "request-1".to_owned(),
            scheme: "https",
            host: "gate.example".to_owned(),
        };
        let request = Request::builder().method(method).uri(path);
        Self { wing, request, caller, bearer: None, bad_bearer: None, body: Vec::new() }
    }

    pub fn json(self, body: Value) -> Self {
        self.typed("application/json", body.to_string())
    }

    pub fn form(self, body: &str) -> Self {
        self.typed("application/x-www-form-urlencoded", body)
    }

    pub fn typed(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header(CONTENT_TYPE.as_str(), content_type)
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub fn cookie(self, refresh_token: &str) -> Self {
        let name = if self.caller.scheme == "http" { "" } else { "__Secure-" };
        self.header(COOKIE.as_str(), &format!("a=b; {name}portcullis_refresh={refresh_token}"))
    }

    pub fn at(mut self, scheme: &'static str, host: &str) -> Self {
        (self.caller.scheme, self.caller.host) = (scheme, host.to_owned());
        self
    }

    pub fn from(mut self, address: [u8; 4]) -> Self {
        self.caller.address = address.into();
        self
    }

    /// As the proxy does it for a token that is good.
    pub fn bearer(mut self, access_token: &str) -> Self {
        self.bearer = Some(Arc::new(self.wing.read(access_token)));
        self
    }

    /// As the proxy does it for a token that is no good.
    pub fn bad_bearer(mut self, code: Code) -> Self {
        self.bad_bearer = Some(BadBearer(code));
        self
    }

    pub async fn send(self) -> Answer {
        let mut request = self.request.body(Body::from(self.body)).unwrap();
        request.extensions_mut().insert(self.wing.settings.clone());
        request.extensions_mut().insert(self.caller);
        if let Some(bad) = self.bad_bearer {
            request.extensions_mut().insert(bad);
        }
        if let Some(identity) = self.bearer {
            request.extensions_mut().insert(identity);
        }
        let response = self.wing.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
        Answer { status: head.status, headers: head.headers, body }
    }
}

#[derive(Debug, PartialEq)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    /// The refusal's code, after checking that body, header and status agree on it.
    pub fn code(&self) -> &str {
        let code = self.body["code"].as_str().unwrap();
        assert_eq!(self.headers["portcullis-reason"], code);
        assert_eq!(self.headers[CONTENT_TYPE], "application/problem+json");
        assert_eq!(self.headers["cache-control"], "no-store");
        assert_eq!(self.body["status"], self.status.as_u16());
        assert_eq!(self.body["request_id"], "request-1");
        assert_eq!(self.headers.contains_key("www-authenticate"), self.status == StatusCode::UNAUTHORIZED);
        code
    }

    pub fn detail(&self) -> &str {
        self.body["detail"].as_str().unwrap()
    }

    pub fn access_token(&self) -> &str {
        assert_eq!(self.status, StatusCode::OK, "{:?}", self.body);
        self.body["access_token"].as_str().unwrap()
    }

    pub fn tokens(&self) -> Pair {
        let refresh = self.body["refresh_token"].as_str();
        Pair { access: self.access_token().to_owned(), refresh: refresh.unwrap().to_owned() }
    }

    pub fn set_cookie(&self) -> Option<&str> {
        self.headers.get(SET_COOKIE).map(|value| value.to_str().unwrap())
    }

    /// The value of the refresh cookie that this answer sets.
    pub fn refresh_cookie(&self) -> &str {
        let (pair, _) = self.set_cookie().unwrap().split_once(';').unwrap();
        pair.split_once('=').unwrap().1
    }

    pub fn clears_cookie(&self) -> bool {
        self.set_cookie().is_some_and(|cookie| cookie.contains("Max-Age=0"))
    }
}

/// The present one of authenticator apps.
pub fn step() -> u64 {
    clock::unix_seconds(clock::now()) / 30
}

pub fn record() -> AuditRecord {
    AuditRecord {
        at: clock::now(),
        event: AuditEvent::RolesChanged,
        user_id: None,
        username: "somebody".to_owned(),
        actor: None,
        address: None,
        user_agent: None,
        request_id: None,
        detail: None,
        notices: Vec::new(),
    }
}

fn settings(policy: Policy) -> Settings {
    let keys = Arc::new(KeyRing::new(&policy.tokens).unwrap());
    let refresh_keys = Arc::new(RefreshKeys::new(&policy.tokens.keys));
    let vault = Arc::new(Vault::new(&policy.tokens.keys));
    Settings { policy: Arc::new(policy), keys, refresh_keys, vault, assertions: None }
}

async fn open_stores(directory: &Path) -> Stores {
    let users = Arc::new(SqliteUsers::open(&directory.join("users.db")).await.unwrap());
    let state = Arc::new(SqliteState::open(&directory.join("state.db")).await.unwrap());
    Stores {
        accounts: users.clone(),
        api_keys: users.clone(),
        notices: users.clone(),
        one_time_tokens: users.clone(),
        second_factors: users.clone(),
        audit: users,
        sessions: state.clone(),
        revocations: state.clone(),
        lockouts: state,
    }
}
