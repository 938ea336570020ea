//! `/api/decisions`: decisions as they are made, a JSON line each, for as long as the reader stays and its
//! token is good.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use http::header::CONTENT_TYPE;

use super::call;
use crate::auth::answer::Refusal;
use crate::auth::call::Call;
use crate::auth::{LocalOperator, Wing};
use crate::clock;
use crate::identity::Identity;
use crate::rejection::{Code, Rejection};
use crate::store::{Bearer, Standing};
use crate::telemetry::decisions::{Decisions, Following, Wanted, is_status};

/// How often a reader is looked after: whether its token is still good, and whether it is there.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_secs(5);

struct Reading {
    wing: Wing,
    /// `None` by the control socket, where nothing can end but the connection.
    identity: Option<Arc<Identity>>,
    following: Following,
    look_at: tokio::time::Instant,
}

/// Follow decisions as they are made, a JSON object on each line.
///
/// The answer goes on for as long as the reader stays and its token is good.
#[utoipa::path(
    get, path = "/decisions", operation_id = "follow_decisions", tag = "decisions",
    params(
        ("route" = Option<String>, Query, description = "By its name"),
        ("decision" = Option<String>, Query, pattern = "^(allow|deny)$"),
        ("reason" = Option<String>, Query, description = "A code, or `ok`"),
        ("user" = Option<String>, Query, description = "Id or username"),
        ("status" = Option<String>, Query, description = "Such as `403` or `4xx`"),
    ),
    responses((status = 200, description = "Lines", body = String, content_type = "application/x-ndjson")),
    security(("bearer" = [])),
    extensions(("x-refusals" = json!(["role_missing"]))),
)]
pub async fn follow(
    State(wing): State<Wing>,
    Extension(decisions): Extension<Arc<Decisions>>,
    local: Option<Extension<LocalOperator>>,
    call: Call,
) -> Result<Response, Refusal> {
    let wanted: Wanted = call::query(&call)?;
    if wanted.status.as_deref().is_some_and(|status| !is_status(status)) {
        return Err(Rejection::from(Code::BadRequest).because("`status` is like `403` or `4xx`").into());
    }
    if wanted.reason.as_deref().is_some_and(|reason| !is_reason(reason)) {
        return Err(Rejection::from(Code::BadRequest).because("`reason` is no code, and not `ok`").into());
    }
    let identity = call.identity.clone().ok_or(Code::NoCredentials)?;
    let identity = local.is_none().then_some(identity);
    let full = || Rejection::from(Code::Overloaded).retry_after(RETRY);
    let following = decisions.follow(wanted).ok_or_else(full)?;
    let reading = Reading { wing, identity, following, look_at: tokio::time::Instant::now() + LOOK_EVERY };
    let body = Body::from_stream(stream::unfold(reading, next));
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

fn is_reason(word: &str) -> bool {
    word == "ok" || Code::ALL.iter().any(|code| code.as_str() == word)
}

/// The next lines, or an empty one after a while without any; `None` at the end.
async fn next(mut reading: Reading) -> Option<(Result<Bytes, Infallible>, Reading)> {
    let lines = tokio::select! {
        lines = reading.following.next() => lines,
        () = tokio::time::sleep_until(reading.look_at) => b"\n".to_vec(),
    };
    if tokio::time::Instant::now() >= reading.look_at {
        if !reading.is_good().await {
            return None;
        }
        reading.look_at = tokio::time::Instant::now() + LOOK_EVERY;
    }
    Some((Ok(lines.into()), reading))
}

impl Reading {
    async fn is_good(&self) -> bool {
        let Some(identity) = &self.identity else { return true };
        let now = clock::now();
        let standing = self.wing.stores.revocations.standing(Bearer::from(&**identity), now).await;
        clock::unix_seconds(now) < identity.expires_at && matches!(standing, Ok(Standing::Good))
    }
}
