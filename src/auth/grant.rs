//! What a client gets for a session: an access token, and the refresh token of its generation.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::SET_COOKIE;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::answer::Refusal;
use super::audit::Subject;
use super::call::Call;
use super::{Wing, audit, cookie, login};
use crate::accounts::ending;
use crate::clock::{Timestamp, unix_seconds};
use crate::identity::Identity;
use crate::rejection::Code;
use crate::store::{Account, AuditEvent, Bound, Session, Start};

/// Where the refresh token of an answer goes.
#[derive(Debug, Clone, Copy)]
pub struct Delivery {
    pub in_cookie: bool,
    pub in_body: bool,
    /// To a client that asked for scopes: that it got none (RFC 6749 §3.3).
    pub tells_scope: bool,
}

/// Where a JSON client wants its refresh token.
#[derive(Deserialize, ToSchema)]
#[schema(as = RefreshTokenIn)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    Cookie,
    Body,
}

impl Delivery {
    /// Clients of other programs say it by what they look for.
    pub fn of(call: &Call, wanted: Option<Wanted>) -> Self {
        let in_body = matches!(wanted, Some(Wanted::Body)) || call.expects("refresh_token") == Some(true);
        Self { in_cookie: !in_body, in_body, tells_scope: false }
    }

    /// Clients of OAuth2 have no cookies, unless an alias leaves them nothing else.
    pub fn of_form(call: &Call, scope: Option<&str>) -> Self {
        let in_body = call.expects("refresh_token") != Some(false);
        let tells_scope = scope.is_some_and(|scope| !scope.trim().is_empty());
        Self { in_cookie: !in_body, in_body, tells_scope }
    }
}

/// RFC 6749 §5.1.
#[derive(Serialize, ToSchema)]
pub struct Tokens {
    /// A JWT.
    access_token: String,
    /// In seconds.
    expires_in: u64,
    /// Absent where it is in the cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    refresh_token: Option<String>,
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Empty, in the answer to a form that asks for scopes: accounts have roles.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    scope: Option<&'static str>,
    /// In the answer that turns a second factor on, and nowhere else.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    recovery_codes: Option<Vec<String>>,
}

/// Always a new one: a login never continues a session that somebody else may know. Stored before
/// any token exists: a token without a session could never be revoked.
///
/// `account` is as it was when its owner was recognised. If it has changed since, no session starts.
pub async fn start_session(
    wing: &Wing,
    call: &Call,
    account: &Account,
    amr: &[impl AsRef<str>],
) -> Result<Session, Refusal> {
    let session = new_session(call, account, amr);
    if keep(wing, call, &session).await? {
        return Ok(session);
    }
    let session = new_session(call, &mend(wing, call, account).await?, amr);
    match keep(wing, call, &session).await? {
        true => Ok(session),
        false => Err(Code::AccountChanged.into()),
    }
}

/// `false` if tokens of its version are revoked.
async fn keep(wing: &Wing, call: &Call, session: &Session) -> Result<bool, Refusal> {
    let most = call.settings.policy.tokens.max_sessions;
    let bound = Bound { most, revoked_until: last_token_until(call) };
    let Start::Started { ended } = wing.stores.sessions.start(session, bound).await? else {
        return Ok(false);
    };
    let subject = Subject { user_id: Some(session.user_id), username: &session.username };
    for id in ended {
        wing.metrics.revocations.with_label_values(&["session"]).inc();
        let detail = format!("{id}: more than tokens.max_sessions");
        wing.audit(call, AuditEvent::SessionEnded, subject, Some(&detail)).await;
    }
    Ok(true)
}

/// For an account whose version is revoked although it is the present one: an older dump of the account store was
/// restored, or a deletion failed half-way. Its owner has just shown who they are.
async fn mend(wing: &Wing, call: &Call, account: &Account) -> Result<Account, Refusal> {
    let found = wing.stores.accounts.find_by_id(account.id).await?;
    if found.is_none_or(|found| found.version != account.version) {
        return Err(Code::AccountChanged.into());
    }
    let record = wing.record(call, AuditEvent::Mended, login::about(account), Some("at a login"));
    let mended = wing.ending(call).mend(account, call.now, &record).await?.ok_or(Code::AccountChanged)?;
    audit::log(&record);
    let mended = mended.ended()?;
    Ok(mended)
}

fn new_session(call: &Call, account: &Account, amr: &[impl AsRef<str>]) -> Session {
    let tokens = &call.settings.policy.tokens;
    let ends_at = call.now + tokens.session_ttl;
    Session {
        id: Uuid::now_v7(),
        user_id: account.id,
        username: account.username.clone(),
        email: account.confirmed_email().map(str::to_owned),
        roles: account.roles.clone(),
        version: account.version,
        credentials: account.credentials,
        amr: amr.iter().map(|method| method.as_ref().to_owned()).collect(),
        generation: 1,
        created_at: call.now,
        rotated_at: call.now,
        idle_until: (call.now + tokens.refresh_ttl).min(ends_at),
        ends_at,
        address: Some(call.caller.address),
        user_agent: call.user_agent(),
        last_address: None,
        last_device: None,
    }
}

/// The answer of RFC 6749 §5.1 for a session that is stored already.
pub fn answer(call: &Call, session: &Session, delivery: Delivery) -> Response {
    answer_with(call, session, delivery, None)
}

/// The same, with recovery codes if there are new ones.
pub fn answer_with(
    call: &Call,
    session: &Session,
    delivery: Delivery,
    recovery_codes: Option<Vec<String>>,
) -> Response {
    let identity = identity(call, session);
    let refresh_token = call.settings.refresh_keys.mint(session.id, session.generation);
    let tokens = Tokens {
        access_token: call.settings.keys.mint(&identity),
        expires_in: identity.expires_at.saturating_sub(identity.issued_at),
        refresh_token: delivery.in_body.then(|| refresh_token.clone()),
        token_type: "Bearer",
        scope: delivery.tells_scope.then_some(""),
        recovery_codes,
    };
    let mut response = Json(tokens).into_response();
    if delivery.in_cookie {
        response.headers_mut().insert(SET_COOKIE, cookie::set(call, &refresh_token));
    }
    response
}

/// Whom the access token speaks of. It never outlives the session.
pub fn identity(call: &Call, session: &Session) -> Identity {
    let expires_at = (call.now + call.settings.policy.tokens.access_ttl).min(session.ends_at);
    Identity {
        user_id: session.user_id,
        username: session.username.clone(),
        email: session.email.clone(),
        roles: session.roles.clone(),
        scopes: Vec::new(),
        amr: session.amr.clone(),
        session_id: session.id,
        token_id: Uuid::now_v7(),
        version: session.version,
        issued_at: unix_seconds(call.now),
        expires_at: unix_seconds(expires_at),
    }
}

/// Until when access tokens that exist now may be taken for good.
pub fn last_token_until(call: &Call) -> Timestamp {
    ending::last_token_until(&call.settings.policy.tokens, call.identity.as_deref(), call.now)
}
