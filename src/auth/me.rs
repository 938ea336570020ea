//! `GET /auth/me`: the bearer's own account, as it is now (the token may be older).

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::Wing;
use super::answer::Refusal;
use super::call::Call;
use crate::rejection::Code;

pub async fn me(State(wing): State<Wing>, call: Call) -> Result<Json<Value>, Refusal> {
    let found = wing.stores.accounts.find_by_id(call.bearer()?.user_id).await?;
    let account = found.ok_or(Code::TokenInvalid)?;
    Ok(Json(json!({
        "id": account.id,
        "username": account.username,
        "email": account.email,
        "roles": account.roles,
        "created_at": account.created_at,
    })))
}
