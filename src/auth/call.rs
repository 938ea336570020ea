//! One request to an endpoint, taken apart: what the proxy says about it and what the client sent.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use http::header::USER_AGENT;
use http::{HeaderMap, Uri};

use super::alias::Alias;
use super::answer::Refusal;
use super::{BadBearer, Caller, Settings, WaivesReauthentication, Wing};
use crate::clock::{self, Timestamp};
use crate::config::policy::RequestShape;
use crate::identity::Identity;
use crate::rejection::{Code, Rejection};

const MAX_USER_AGENT_CHARS: usize = 256;

/// Every handler's argument beside the state.
pub struct Call {
    pub settings: Settings,
    pub caller: Caller,
    /// The bearer, when a good access token came on an endpoint that looks for one.
    pub identity: Option<Arc<Identity>>,
    /// What is wrong with the access token of a logout.
    pub bad_bearer: Option<Code>,
    /// Where the client expects another answer than ours.
    pub alias: Option<Alias>,
    /// Where the operator lets an access token alone do what else needs the password.
    pub waives_reauthentication: bool,
    pub headers: HeaderMap,
    pub uri: Uri,
    pub body: Bytes,
    /// When the request came in: the time of everything it does.
    pub now: Timestamp,
}

impl Call {
    /// As the client names itself, cut.
    pub fn user_agent(&self) -> Option<String> {
        let value = self.headers.get(USER_AGENT)?.to_str().ok()?;
        Some(value.chars().take(MAX_USER_AGENT_CHARS).collect())
    }

    /// Whether the client's way of answering has room for this member. `None` where it is ours.
    pub fn expects(&self, member: &str) -> Option<bool> {
        let translation = &self.alias.as_ref()?.translation;
        translation.answer.as_ref().map(|shape| shape.names(member))
    }

    /// The client's names for the members of a request, where they aren't ours.
    pub fn request_shape(&self) -> Option<&RequestShape> {
        self.alias.as_ref()?.translation.request.as_ref()
    }

    /// A refusal of what a member of the request says; `sentence` has our names in backquotes.
    pub fn bad_member(&self, sentence: &str) -> Refusal {
        let sentence = match self.request_shape() {
            Some(shape) => shape.word(sentence),
            None => sentence.to_owned(),
        };
        Rejection::from(Code::BadRequest).because(sentence).into()
    }

    /// The bearer of an endpoint that asks for one. The proxy has checked already; without it,
    /// nobody passes.
    pub fn bearer(&self) -> Result<&Identity, Refusal> {
        self.identity.as_deref().ok_or_else(|| Code::NoCredentials.into())
    }
}

impl FromRequest<Wing> for Call {
    type Rejection = Refusal;

    async fn from_request(mut request: Request, wing: &Wing) -> Result<Self, Refusal> {
        let extensions = request.extensions_mut();
        let settings = extensions.remove::<Settings>();
        let caller = extensions.remove::<Caller>();
        let identity = extensions.remove::<Arc<Identity>>();
        let bad_bearer = extensions.remove::<BadBearer>().map(|BadBearer(code)| code);
        let alias = extensions.remove::<Alias>();
        let waives_reauthentication = extensions.remove::<WaivesReauthentication>().is_some();
        let (Some(settings), Some(caller)) = (settings, caller) else {
            tracing::error!("a request reached the auth wing without its extensions");
            return Err(Code::Internal.into());
        };
        let headers = std::mem::take(request.headers_mut());
        let uri = request.uri().clone();
        let body = Bytes::from_request(request, wing).await.map_err(|problem| match problem.status() {
            http::StatusCode::PAYLOAD_TOO_LARGE => Rejection::from(Code::BodyTooLarge),
            _ => Rejection::from(Code::BadRequest).because("The request body ended early"),
        })?;
        Ok(Self {
            settings,
            caller,
            identity,
            bad_bearer,
            alias,
            waives_reauthentication,
            headers,
            uri,
            body,
            now: clock::now(),
        })
    }
}
