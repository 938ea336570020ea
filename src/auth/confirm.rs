//! The one rule for sensitive actions (name, address, password, keys, second factor, other sessions, deletion): an
//! access token alone isn't enough, since it may be stolen. The request also shows the password, and a code where the
//! account has a second factor.

use serde::Deserialize;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::answer::Refusal;
use super::call::Call;
use super::guess::Guess;
use super::{Wing, body, second_factor};
use crate::accounts::reauthentication::{Proof, has_password};
use crate::rejection::Code;
use crate::store::Account;

/// The body of a sensitive action that has no other members.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = Confirmation)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// The current one.
    #[schema(example = "correct horse battery")]
    password: Option<String>,
    /// Where the account has a second factor: of the app, or a recovery code.
    #[schema(example = "123456")]
    code: Option<String>,
}

impl From<Document> for Proof {
    fn from(document: Document) -> Self {
        Self::new(document.password, document.code)
    }
}

/// The body, which may be empty: then the answer says what is missing.
pub fn read(call: &Call) -> Result<Proof, Refusal> {
    if call.body.is_empty() {
        return Ok(Proof::default());
    }
    body::json::<Document>(call).map(Proof::from)
}

/// Whether the bearer is the owner. What is missing is told before anything is verified. A wrong password or code
/// counts like a failed login: whoever holds a stolen token must not guess on.
pub async fn owner(wing: &Wing, call: &Call, account: &Account, proof: Proof) -> Result<(), Refusal> {
    if call.waives_reauthentication {
        return Ok(());
    }
    let signed_in = match has_password(account) {
        true => None,
        false => wing.stores.sessions.find(call.bearer()?.session_id, call.now).await?,
    };
    let missing = proof.missing(account, signed_in.map(|session| session.created_at), call.now);
    if !missing.is_empty() {
        return Err(Refusal::ReauthenticationRequired(missing));
    }
    if let Some(password) = proof.password.filter(|_| has_password(account)) {
        check_password(wing, call, account, password).await?;
    }
    if let Some(code) = proof.code.filter(|_| account.has_second_factor) {
        second_factor::check(wing, call, account, &code).await?;
    }
    Ok(())
}

async fn check_password(
    wing: &Wing,
    call: &Call,
    account: &Account,
    password: Zeroizing<String>,
) -> Result<(), Refusal> {
    let (guess, verification) =
        Guess::of(wing, call, account).await?.compare(password, Some(account)).await?;
    if !verification.matches {
        let refused = guess.fail(Code::BadCredentials, None).await?;
        return Err(match refused.code {
            Code::BadCredentials => refused.because("The password is wrong").into(),
            _ => refused.into(),
        });
    }
    // As at a login: it must not buy guesses at a second factor.
    match account.has_second_factor {
        true => guess.give_back().await,
        false => guess.succeed().await,
    }
}
