//! Access tokens that come in a body, and those that an alias hands out in place of the bearer.

use serde_json::{Map, Value};

use super::answer::Refusal;
use super::call::Call;
use super::{Wing, grant, refresh};
use crate::identity::{Identity, SessionId, credentials};
use crate::rejection::Code;
use crate::store::{Account, Bearer, Session, Standing};

const ACCESS_TOKEN: &str = "access_token";

/// Whose token it is, if it counts right now.
pub async fn verify(wing: &Wing, call: &Call, token: &str) -> Result<Identity, Refusal> {
    let identity = call.settings.keys.verify(token, call.now).map_err(Code::from)?;
    match wing.stores.revocations.standing(Bearer::from(&identity), call.now).await? {
        Standing::Good => Ok(identity),
        Standing::Revoked => Err(Code::TokenRevoked.into()),
        Standing::Stale => Err(Code::TokenStale.into()),
    }
}

/// Adds a new access token for this session, where the client looks for one. The session doesn't last longer
/// by it: without a refresh it ends after `tokens.refresh_ttl`, and so does this.
pub async fn renew(
    wing: &Wing,
    call: &Call,
    session: SessionId,
    answer: &mut Map<String, Value>,
) -> Result<(), Refusal> {
    if call.expects(ACCESS_TOKEN) != Some(true) {
        return Ok(());
    }
    let session = refresh::current(wing, call, session).await.map_err(|refusal| match refusal.code() {
        Code::RefreshInvalid => Code::TokenRevoked.into(),
        _ => refusal,
    })?;
    add(call, &session, answer);
    Ok(())
}

/// The same after what has ended the bearer's session: for a new one.
pub async fn start_anew(
    wing: &Wing,
    call: &Call,
    account: &Account,
    answer: &mut Map<String, Value>,
) -> Result<(), Refusal> {
    if call.expects(ACCESS_TOKEN) != Some(true) {
        return Ok(());
    }
    // The bearer has shown the other factors before.
    let amr = call.bearer()?.amr.clone();
    let session = grant::start_session(wing, call, account, &amr).await?;
    add(call, &session, answer);
    Ok(())
}

fn add(call: &Call, session: &Session, answer: &mut Map<String, Value>) {
    answer.insert(ACCESS_TOKEN.to_owned(), call.settings.keys.mint(&grant::identity(call, session)).into());
}

/// Adds the bearer's own text, after what has made it worthless: clients look for a token here, too.
pub fn repeat(call: &Call, answer: &mut Map<String, Value>) {
    if let (Some(true), Ok(Some(text))) = (call.expects(ACCESS_TOKEN), credentials::bearer(&call.headers)) {
        answer.insert(ACCESS_TOKEN.to_owned(), text.into());
    }
}
