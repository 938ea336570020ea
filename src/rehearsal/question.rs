//! What is asked, and the request that it stands for.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use pingora::http::RequestHeader;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::clock::{now, unix_seconds};
use crate::edition::Edition;
use crate::identity::Identity;
use crate::identity::name::{check_username, is_role};

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    pub method: String,
    /// A path with its query, or a URL of which scheme and host count, too.
    pub url: String,
    pub caller: Caller,
    /// Who holds the other end of the connection; this machine if nobody says.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub address: Option<IpAddr>,
    /// Name and value of each.
    #[serde(default)]
    #[schema(value_type = Vec<Vec<String>>)]
    pub headers: Vec<(String, String)>,
}

/// Who asks. An account is given to the stages as the identity of a token that needs no verifying.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = AssumedCaller)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Caller {
    Anonymous,
    Token(String),
    Account {
        /// Id or name; any, if only roles count.
        user: Option<String>,
        /// Beside an id: what the account was found to be called, and its confirmed address.
        #[serde(skip)]
        found: Option<Found>,
        roles: Vec<String>,
        #[serde(default)]
        scopes: Vec<String>,
        /// Has shown a second factor.
        #[serde(default)]
        mfa: bool,
    },
}

#[derive(Debug, Clone)]
pub struct Found {
    pub username: String,
    pub email: Option<String>,
}

/// Stands where the token of a given account would.
const PLACEHOLDER: &str = "<token>";

/// A question as the stages see it.
pub struct Asked {
    /// Whom the placeholder in the request stands for.
    pub identity: Option<Arc<Identity>>,
    pub request: RequestHeader,
    pub request_line: Bytes,
    pub address: IpAddr,
    pub tls: bool,
}

impl Question {
    /// `Err` says what is wrong with the question.
    pub fn prepare(&self, edition: &Edition) -> Result<Asked, String> {
        let (tls, host, target) = split(&self.url);
        Method::from_bytes(self.method.as_bytes())
            .map_err(|_| format!("{:?} isn't a method", self.method))?;
        let mut request = RequestHeader::build_no_case(self.method.as_bytes(), target.as_bytes(), None)
            .map_err(|_| format!("{target:?} can't stand in a request"))?;
        for (name, value) in &self.headers {
            let wrong = || format!("{name}: {value}: this isn't a header field");
            let name: HeaderName = name.parse().map_err(|_| wrong())?;
            let value = HeaderValue::from_str(value).map_err(|_| wrong())?;
            request.append_header(name, value).map_err(|_| wrong())?;
        }
        if !request.headers.contains_key(header::HOST) {
            request.append_header(header::HOST, host).map_err(|_| format!("{host:?} isn't a host"))?;
        }
        let identity = self.identity(edition)?.map(Arc::new);
        let placeholder = identity.as_ref().map(|_| PLACEHOLDER);
        if let Some(token) = self.token().or(placeholder) {
            let bearer = HeaderValue::from_str(&format!("Bearer {token}"));
            let bearer = bearer.map_err(|_| "the token holds characters that no header may".to_owned())?;
            request.append_header(header::AUTHORIZATION, bearer).map_err(|error| error.to_string())?;
        }
        Ok(Asked {
            identity,
            request,
            request_line: Bytes::from(format!("{} {target} HTTP/1.1", self.method)),
            address: self.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            tls,
        })
    }

    fn token(&self) -> Option<&str> {
        match &self.caller {
            Caller::Token(token) => Some(token),
            Caller::Anonymous | Caller::Account { .. } => None,
        }
    }

    fn identity(&self, edition: &Edition) -> Result<Option<Identity>, String> {
        let Caller::Account { user, found, roles, scopes, mfa } = &self.caller else { return Ok(None) };
        if let Some(wrong) = roles.iter().find(|role| !is_role(role)) {
            return Err(format!("{wrong:?} isn't the name of a role"));
        }
        let mut identity = identity(user.as_deref(), roles, scopes, *mfa, edition)?;
        if let Some(Found { username, email }) = found {
            (identity.username, identity.email) = (username.clone(), email.clone());
        }
        Ok(Some(identity))
    }
}

/// Whether TLS, the host, and what stands on the request line.
fn split(url: &str) -> (bool, &str, String) {
    let (tls, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return (false, "localhost", url.to_owned()),
    };
    match rest.find(['/', '?']) {
        Some(at) if rest[at..].starts_with('/') => (tls, &rest[..at], rest[at..].to_owned()),
        Some(at) => (tls, &rest[..at], format!("/{}", &rest[at..])),
        None => (tls, rest, "/".to_owned()),
    }
}

fn identity(
    user: Option<&str>,
    roles: &[String],
    scopes: &[String],
    mfa: bool,
    edition: &Edition,
) -> Result<Identity, String> {
    let (user_id, username) = match user {
        None => (Uuid::now_v7(), "somebody".to_owned()),
        Some(text) => match Uuid::parse_str(text) {
            Ok(id) => (id, "somebody".to_owned()),
            Err(_) => {
                check_username(text).map_err(|reason| format!("{text:?}: {reason}"))?;
                (id_of(text), text.to_owned())
            }
        },
    };
    let issued_at = unix_seconds(now());
    Ok(Identity {
        user_id,
        username,
        email: None,
        roles: roles.to_vec(),
        scopes: scopes.to_vec(),
        amr: mfa.then(|| "mfa".to_owned()).into_iter().collect(),
        session_id: Uuid::now_v7(),
        token_id: Uuid::now_v7(),
        version: 1,
        issued_at,
        expires_at: issued_at + edition.policy.tokens.access_ttl.as_secs().max(1),
    })
}

/// An id of its own for each name, the same at every run.
fn id_of(name: &str) -> Uuid {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_ref()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}
