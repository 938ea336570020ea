//! Ends the API keys of an account where its sessions end, for a request of its owner.

use super::answer::Refusal;
use super::audit::Subject;
use super::call::Call;
use super::{Wing, grant};
use crate::accounts::keys::Keys;
use crate::store::{AuditEvent, AuditRecord};

pub fn of<'w>(wing: &'w Wing, call: &Call) -> Keys<'w> {
    let (store, revocations) = (&*wing.stores.api_keys, &*wing.stores.revocations);
    Keys { store, revocations, until: grant::last_token_until(call) }
}

/// What the audit log has of their end.
pub fn record(wing: &Wing, call: &Call, owner: Subject<'_>, reason: &str) -> AuditRecord {
    wing.record(call, AuditEvent::KeysEnded, owner, Some(reason))
}

/// Ends every key of an account, which the audit log has with the reason.
pub async fn end_all(wing: &Wing, call: &Call, owner: Subject<'_>, reason: &str) -> Result<(), Refusal> {
    let Some(id) = owner.user_id else { return Ok(()) };
    let ended = of(wing, call).end_all(id, &record(wing, call, owner, reason)).await?;
    count(wing, ended);
    Ok(())
}

pub fn count(wing: &Wing, ended: u64) {
    wing.metrics.revocations.with_label_values(&["key"]).inc_by(ended);
}
