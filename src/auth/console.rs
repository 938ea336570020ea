//! Who is at the operator console: an account with a role of `admin.roles`, signed in there by name and password like
//! everywhere else, with a session that can be seen and ended like any other.
//!
//! The cookie holds an access token, which is renewed while the console is used and the session lasts. Who
//! does nothing for as long as an access token lives has to sign in again.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequest, Request};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cookie::{Cookie, SameSite};
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use serde::de::DeserializeOwned;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::administration::{Administration, Operator};
use super::answer::Refusal;
use super::audit::Subject;
use super::call::Call;
use super::second_factor;
use super::{
    Mailer, PasswordQueue, Stores, Wing, body, cookie as cookies, device, grant, lacks_factor, login, origin,
};
use crate::clock::unix_seconds;
use crate::config::policy::Policy;
use crate::identity::Identity;
use crate::rejection::{Code, Rejection};
use crate::store::{AuditEvent, Bearer, Standing};
use crate::telemetry::Metrics;

pub const PATH: &str = "/console";
const SECURE_NAME: &str = "__Secure-portcullis_console";
const LOCAL_NAME: &str = "portcullis_console";
/// Renewed once one part of so many of its life is over.
const RENEW_AFTER: u32 = 4;

/// Lets operators in and out.
#[derive(Clone)]
pub struct Door {
    wing: Wing,
}

/// Where a request to sign in comes from, as far as limits care.
pub struct Visitor<'c> {
    pub address: IpAddr,
    pub headers: &'c HeaderMap,
}

/// An operator who is in.
pub struct Guest {
    pub call: Call,
    pub identity: Arc<Identity>,
    /// What every form of theirs must carry.
    pub form_token: String,
    /// The renewed cookie, when it is time.
    pub cookie: Option<HeaderValue>,
    wing: Wing,
}

impl Door {
    pub fn new(stores: Stores, passwords: PasswordQueue, mailer: Mailer, metrics: Arc<Metrics>) -> Self {
        // The console is described to nobody.
        let (failure_rows, description) = Default::default();
        Self { wing: Wing { stores, passwords, mailer, metrics, failure_rows, description } }
    }

    /// The request taken apart, whoever sends it.
    pub async fn read(&self, request: Request) -> Result<Call, Rejection> {
        Call::from_request(request, &self.wing).await.map_err(|refusal| self.note(&refusal))
    }

    /// What a refusal is to the person at the console. A failing store is counted and logged here.
    pub fn note(&self, refusal: &Refusal) -> Rejection {
        if let Refusal::Unavailable(error) = refusal {
            self.wing.note_store_error(error, "the console refused a request");
        }
        refusal.rejection()
    }

    /// The cookies of a new session and of the device. The same way as a login: password queue, lockout, audit.
    pub async fn sign_in(
        &self,
        call: &Call,
        username: &str,
        password: Zeroizing<String>,
        code: Option<&str>,
    ) -> Result<[HeaderValue; 2], Rejection> {
        let signed_in = self.open_session(call, username, password, code).await;
        let outcome = signed_in.as_ref().map_or_else(|refusal| refusal.code().as_str(), |_| "success");
        self.wing.metrics.login_attempts.with_label_values(&[outcome]).inc();
        signed_in.map_err(|refusal| self.note(&refusal))
    }

    async fn open_session(
        &self,
        call: &Call,
        username: &str,
        password: Zeroizing<String>,
        code: Option<&str>,
    ) -> Result<[HeaderValue; 2], Refusal> {
        let wing = &self.wing;
        if !origin::is_own(call) {
            return Err(Code::CrossOrigin.into());
        }
        let account = login::authenticate(wing, call, username, password).await?;
        if !call.settings.policy.admin.is_operator(&account.roles) {
            wing.audit(call, AuditEvent::LoginFailed, login::about(&account), Some("no operator")).await;
            return Err(Code::RoleMissing.into());
        }
        let methods = match (account.has_second_factor, code) {
            (false, _) => second_factor::PASSWORD,
            (true, Some(code)) => second_factor::check(wing, call, &account, code).await?,
            (true, None) => return Err(Code::MfaRequired.into()),
        };
        let needs_factor = &call.settings.policy.auth.mfa.required_roles;
        if !account.has_second_factor && account.roles.iter().any(|role| needs_factor.contains(role)) {
            wing.audit(call, AuditEvent::LoginFailed, login::about(&account), Some("no second factor")).await;
            return Err(lacks_second_factor(&call.settings.policy).into());
        }
        let session = grant::start_session(wing, call, &account, methods).await?;
        wing.audit(call, AuditEvent::LoggedIn, login::about(&account), Some("console")).await;
        let token = call.settings.keys.mint(&grant::identity(call, &session));
        Ok([set_cookie(call, &token), device::set(call, account.id, PATH)])
    }

    /// `Err` for whoever isn't signed in (any more).
    pub async fn let_in(&self, request: Request) -> Result<Guest, Rejection> {
        let call = self.read(request).await?;
        let identity = self.recognise(&call).await.map_err(|refusal| self.note(&refusal))?;
        let cookie = self.renew(&call, &identity).await;
        let form_token = form_token(&call, &identity);
        Ok(Guest {
            call: Call { identity: Some(identity.clone()), ..call },
            identity,
            form_token,
            cookie,
            wing: self.wing.clone(),
        })
    }

    async fn recognise(&self, call: &Call) -> Result<Arc<Identity>, Refusal> {
        let token = presented(call).ok_or(Code::NoCredentials)?;
        let identity = call.settings.keys.verify_cached(&token, call.now).map_err(Code::from)?;
        match self.wing.stores.revocations.standing(Bearer::from(&*identity), call.now).await? {
            Standing::Good if !call.settings.policy.admin.is_operator(&identity.roles) => {
                Err(Code::RoleMissing.into())
            }
            Standing::Good if lacks_factor(&call.settings.policy, &identity) => {
                Err(lacks_second_factor(&call.settings.policy).into())
            }
            Standing::Good => Ok(identity),
            Standing::Revoked => Err(Code::TokenRevoked.into()),
            Standing::Stale => Err(Code::TokenStale.into()),
        }
    }

    /// Only while session and account are known to be good; what can't be asked now is asked again soon.
    async fn renew(&self, call: &Call, identity: &Identity) -> Option<HeaderValue> {
        let age = Duration::from_secs(unix_seconds(call.now).saturating_sub(identity.issued_at));
        if age < call.settings.policy.tokens.access_ttl / RENEW_AFTER {
            return None;
        }
        let stores = &self.wing.stores;
        let session = stores.sessions.find(identity.session_id, call.now).await.ok()??;
        let account = stores.accounts.find_by_id(identity.user_id).await.ok()??;
        let is_same = !account.disabled
            && account.version == identity.version
            && account.roles == identity.roles
            && session.is_of(&account);
        is_same.then(|| set_cookie(call, &call.settings.keys.mint(&grant::identity(call, &session))))
    }
}

/// Nobody sets one up at the console, which such an operator doesn't get into.
fn lacks_second_factor(policy: &Policy) -> Rejection {
    let prefix = &policy.auth.prefix;
    Rejection::from(Code::MfaRequired).because(format!(
        "A role of this account needs a second factor (auth.mfa.required_roles). Without one yet, log in at the \
         gateway by POST {prefix}/login and set up an authenticator app by POST {prefix}/mfa/totp and \
         {prefix}/mfa/totp/confirm; then sign in here with its code."
    ))
}

impl Call {
    /// The fields of a form.
    pub fn form<T: DeserializeOwned>(&self) -> Result<T, Rejection> {
        body::form(self).map_err(|refusal| refusal.rejection())
    }

    pub fn visitor(&self) -> Visitor<'_> {
        Visitor { address: self.caller.address, headers: &self.headers }
    }

    /// Whether the browser will refuse the cookie: it didn't come by HTTPS, nor from this machine.
    pub fn is_over_plain_network(&self) -> bool {
        self.caller.scheme == "http" && !cookies::is_local(self)
    }
}

impl Guest {
    /// The fields of a form that this console showed to this operator.
    pub fn form<T: DeserializeOwned>(&self) -> Result<T, Rejection> {
        #[derive(serde::Deserialize)]
        struct Signed {
            form_token: String,
        }
        let Signed { form_token } = self.call.form()?;
        let is_ours: bool = form_token.as_bytes().ct_eq(self.form_token.as_bytes()).into();
        if !is_ours || !origin::is_own(&self.call) {
            return Err(Code::CrossOrigin.into());
        }
        self.call.form()
    }

    pub fn administration(&self) -> Administration {
        Administration {
            stores: self.wing.stores.clone(),
            policy: self.call.settings.policy.clone(),
            passwords: self.wing.passwords.clone(),
            mailer: self.wing.mailer.clone(),
            operator: Operator {
                name: self.identity.username.clone(),
                address: Some(self.call.caller.address),
                user_agent: self.call.user_agent(),
                request_id: Some(self.call.caller.request_id.clone()),
            },
        }
    }

    /// Ends the session; the cookie that makes the browser forget it.
    pub async fn sign_out(&self) -> Result<HeaderValue, Rejection> {
        let until = grant::last_token_until(&self.call);
        let ended = self.wing.stores.sessions.end(self.identity.session_id, until).await;
        ended.map_err(|error| Refusal::from(error).rejection())?;
        self.wing.metrics.revocations.with_label_values(&["session"]).inc();
        let subject = Subject { user_id: Some(self.identity.user_id), username: &self.identity.username };
        self.wing.audit(&self.call, AuditEvent::LoggedOut, subject, Some("console")).await;
        Ok(field(base(&self.call, "").max_age(cookie::time::Duration::ZERO)))
    }
}

/// Derived from what only this gateway can make for the session: a refresh token of a generation that is
/// never handed out.
fn form_token(call: &Call, identity: &Identity) -> String {
    let unguessable = call.settings.refresh_keys.mint(identity.session_id, 0);
    let hash =
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, format!("console {unguessable}").as_bytes());
    URL_SAFE_NO_PAD.encode(hash)
}

/// The first that carries our name: only we can make one that counts.
fn presented(call: &Call) -> Option<String> {
    cookie_named(&call.headers, &name(call))
}

fn cookie_named(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut cookies = lines.flat_map(|line| Cookie::split_parse(line).flatten());
    cookies.find(|cookie| cookie.name() == name).map(|cookie| cookie.value().to_owned())
}

/// Until the browser is closed; the token in it ends sooner.
fn set_cookie(call: &Call, token: &str) -> HeaderValue {
    field(base(call, token))
}

fn base<'a>(call: &'a Call, value: &'a str) -> cookie::CookieBuilder<'a> {
    Cookie::build((name(call), value))
        .path(PATH)
        .secure(!cookies::is_local(call))
        .http_only(true)
        .same_site(SameSite::Strict)
}

fn field(cookie: cookie::CookieBuilder<'_>) -> HeaderValue {
    cookie.build().to_string().parse().expect("a JWT is base64url and dots")
}

fn name(call: &Call) -> String {
    if cookies::is_local(call) { cookies::local_name(call, LOCAL_NAME) } else { SECURE_NAME.to_owned() }
}
