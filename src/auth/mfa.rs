//! `/auth/mfa`: the bearer's second factor, an authenticator app with recovery codes.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use qrcode::QrCode;
use qrcode::render::svg;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::answer::Refusal;
use super::call::Call;
use super::grant::{self, Delivery, Tokens, Wanted};
use super::guess::Guess;
use super::notice::{self, Change};
use super::second_factor::{self, PASSWORD_AND_APP};
use super::{Wing, body, confirm, login, me};
use crate::accounts::reauthentication::Proof;
use crate::clock::unix_seconds;
use crate::identity::typed_code::TypedCode;
use crate::identity::{recovery_code, totp};
use crate::rejection::{Code, Rejection};
use crate::store::{Account, AuditEvent, CodeHash};

/// Of the QR code, in pixels.
const QR_SIZE: u32 = 240;

#[derive(Deserialize, ToSchema)]
#[schema(as = MfaConfirmation)]
#[serde(deny_unknown_fields)]
struct Confirmation {
    code: String,
    /// Was asked for with the secret; checked again where it is sent.
    password: Option<String>,
    refresh_token: Option<Wanted>,
}

#[derive(Serialize, ToSchema)]
pub struct MfaSeen {
    enabled: bool,
    /// How many are left.
    recovery_codes: u64,
}

#[derive(Serialize, ToSchema)]
pub struct AppSecret {
    /// In Base32, to be typed.
    secret: String,
    #[schema(example = "otpauth://totp/Portcullis:alice?secret=JBSWY3DPEHPK3PXP")]
    uri: String,
    /// The URI as a QR code.
    qr_svg: String,
}

#[derive(Serialize, ToSchema)]
pub struct RecoveryCodes {
    recovery_codes: Vec<String>,
}

/// Tell whether the account has a second factor.
#[utoipa::path(
    get, path = "/mfa", operation_id = "get_mfa", tag = "second factor",
    responses((status = 200, description = "What there is", body = MfaSeen)),
    security(("password" = []), ("bearer" = [])),
)]
pub async fn read(State(wing): State<Wing>, call: Call) -> Result<Json<MfaSeen>, Refusal> {
    let account = me::read_account(&wing, &call).await?;
    let factor = wing.stores.second_factors.find(account.id).await?.filter(|factor| factor.is_confirmed);
    let recovery_codes = factor.as_ref().map_or(0, |factor| factor.recovery_codes);
    Ok(Json(MfaSeen { enabled: factor.is_some(), recovery_codes }))
}

// Whoever holds a stolen token must not bind the account to an app of theirs, so that the password is asked
// for.
/// Get a secret for an authenticator app. It counts once it is confirmed.
#[utoipa::path(
    post, path = "/mfa/totp", operation_id = "begin_mfa", tag = "second factor",
    request_body = confirm::Document,
    responses((status = 201, description = "For the app", body = AppSecret)),
    security(("password" = []), ("bearer" = [])),
    extensions(("x-refusals" = json!(["reauthentication_required", "bad_credentials", "account_locked", "overloaded", "account_changed"]))),
)]
pub async fn begin(State(wing): State<Wing>, call: Call) -> Result<(StatusCode, Json<AppSecret>), Refusal> {
    let proof = confirm::read(&call)?;
    let account = me::own_account(&wing, &call).await?;
    if account.has_second_factor {
        return Err(set_up_already());
    }
    confirm::owner(&wing, &call, &account, proof).await?;
    let secret = totp::generate();
    let sealed = call.settings.vault.seal(&secret, account.id);
    if !wing.stores.second_factors.begin(&account, &sealed).await? {
        return Err(Code::AccountChanged.into());
    }
    let uri = totp::uri(&secret, &call.settings.policy.auth.mfa.issuer, &account.username);
    let qr = QrCode::new(&uri).map_err(|_| Code::Internal)?;
    let svg = qr.render::<svg::Color<'_>>().min_dimensions(QR_SIZE, QR_SIZE).build();
    let answer = AppSecret { secret: totp::base32(&secret), uri, qr_svg: svg };
    Ok((StatusCode::CREATED, Json(answer)))
}

fn set_up_already() -> Refusal {
    let detail = "A second factor is set up already; disable it first";
    Rejection::from(Code::BadRequest).because(detail).into()
}

/// Turn the second factor on by a code of the app. Every session ends, and one that has shown both starts.
#[utoipa::path(
    post, path = "/mfa/totp/confirm", operation_id = "confirm_mfa", tag = "second factor",
    request_body = Confirmation,
    responses((status = 200, description = "Tokens of a new session, and the recovery codes", body = Tokens)),
    security(("password" = []), ("bearer" = [])),
    extensions(("x-refusals" = json!(["bad_credentials", "overloaded", "mfa_code_invalid", "account_locked", "account_changed"]))),
)]
pub async fn confirm(State(wing): State<Wing>, call: Call) -> Result<Response, Refusal> {
    let Confirmation { code, password, refresh_token } = body::json(&call)?;
    let account = me::own_account(&wing, &call).await?;
    if password.is_some() {
        confirm::owner(&wing, &call, &account, Proof::new(password, None)).await?;
    }
    let (sealed, step) = pending_step(&wing, &call, &account, &code).await?;
    let (codes, hashes) = new_codes(&account);
    let mut record = wing.record(&call, AuditEvent::SecondFactorEnabled, login::about(&account), None);
    notice::add(&wing, &call, &account, Change::SecondFactorEnabled, &mut record).await;
    let factors = &wing.stores.second_factors;
    let change = factors.confirm(&account, &sealed, step, &hashes, call.now, &record);
    let changed = wing.change(&call, &account, None, change).await?.ok_or(Code::AccountChanged)?;
    notice::stored(&wing, &call, &record);
    let account = changed.ended()?;
    let session = grant::start_session(&wing, &call, &account, PASSWORD_AND_APP).await?;
    let delivery = Delivery::of(&call, refresh_token);
    Ok(grant::answer_with(&call, &session, delivery, Some(shown(&codes))))
}

/// The unconfirmed secret, and the step whose code this is.
async fn pending_step(
    wing: &Wing,
    call: &Call,
    account: &Account,
    code: &str,
) -> Result<(Vec<u8>, u64), Refusal> {
    let factor = wing.stores.second_factors.find(account.id).await?;
    let Some(factor) = factor.filter(|factor| !factor.is_confirmed) else {
        let detail = "There is no second factor to confirm; POST /auth/mfa/totp begins";
        return Err(Rejection::from(Code::BadRequest).because(detail).into());
    };
    // A recovery code belongs to a factor that is on already.
    let TypedCode::App(code) = second_factor::typed(code)? else {
        return Err(Rejection::from(Code::MfaCodeInvalid).because("Type the code that the app shows").into());
    };
    let guess = Guess::of(wing, call, account).await?;
    let opened = call.settings.vault.open(&factor.sealed_secret, account.id).filter(|_| guess.is_counted());
    let step = opened.and_then(|opened| totp::matching_step(&opened.secret, &code, unix_seconds(call.now)));
    let Some(step) = step else {
        return Err(guess.fail(Code::MfaCodeInvalid, Some("second factor")).await?.into());
    };
    guess.succeed().await?;
    Ok((factor.sealed_secret, step))
}

/// Get new recovery codes for the password and a code.
#[utoipa::path(
    post, path = "/mfa/recovery-codes", operation_id = "renew_recovery_codes", tag = "second factor",
    request_body = confirm::Document,
    responses((status = 200, description = "New ones; those before are void", body = RecoveryCodes)),
    security(("password" = []), ("bearer" = [])),
    extensions(("x-refusals" = json!(["reauthentication_required", "bad_credentials", "mfa_code_invalid", "account_locked", "overloaded", "account_changed"]))),
)]
pub async fn renew_codes(State(wing): State<Wing>, call: Call) -> Result<Json<RecoveryCodes>, Refusal> {
    let proof = confirm::read(&call)?;
    let account = with_factor(&wing, &call).await?;
    confirm::owner(&wing, &call, &account, proof).await?;
    let (codes, hashes) = new_codes(&account);
    let mut record = wing.record(&call, AuditEvent::RecoveryCodesRenewed, login::about(&account), None);
    notice::add(&wing, &call, &account, Change::RecoveryCodes, &mut record).await;
    if !wing.stores.second_factors.replace_codes(&account, &hashes, &record).await? {
        return Err(Code::AccountChanged.into());
    }
    notice::stored(&wing, &call, &record);
    Ok(Json(RecoveryCodes { recovery_codes: shown(&codes) }))
}

/// Take the second factor away for the password and a code. Every session ends, since all of them were begun with it.
#[utoipa::path(
    post, path = "/mfa/disable", operation_id = "disable_mfa", tag = "second factor",
    request_body = confirm::Document,
    responses((status = 204, description = "Off; every session has ended")),
    security(("password" = []), ("bearer" = [])),
    extensions(("x-refusals" = json!(["reauthentication_required", "bad_credentials", "mfa_code_invalid", "account_locked", "overloaded", "account_changed"]))),
)]
pub async fn disable(State(wing): State<Wing>, call: Call) -> Result<StatusCode, Refusal> {
    let proof = confirm::read(&call)?;
    let account = with_factor(&wing, &call).await?;
    confirm::owner(&wing, &call, &account, proof).await?;
    let mut record = wing.record(&call, AuditEvent::SecondFactorDisabled, login::about(&account), None);
    notice::add(&wing, &call, &account, Change::SecondFactorDisabled, &mut record).await;
    let change = wing.stores.second_factors.remove(&account, call.now, &record);
    let changed = wing.change(&call, &account, None, change).await?.ok_or(Code::AccountChanged)?;
    notice::stored(&wing, &call, &record);
    changed.ended()?;
    Ok(StatusCode::NO_CONTENT)
}

/// The own account, if there is a factor to change.
async fn with_factor(wing: &Wing, call: &Call) -> Result<Account, Refusal> {
    let account = me::own_account(wing, call).await?;
    match account.has_second_factor {
        true => Ok(account),
        false => Err(Rejection::from(Code::BadRequest).because("There is no second factor").into()),
    }
}

fn shown(codes: &[Zeroizing<String>]) -> Vec<String> {
    codes.iter().map(|code| code.to_string()).collect()
}

fn new_codes(account: &Account) -> (Vec<Zeroizing<String>>, Vec<CodeHash>) {
    let codes: Vec<_> = (0..recovery_code::COUNT).map(|_| recovery_code::mint()).collect();
    let hashes = codes.iter().map(|code| recovery_code::hash(code, account.id)).collect();
    (codes, hashes)
}
