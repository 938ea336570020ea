//! Ends the API keys of an account where its sessions end, for a request of its owner.

use super::answer::Refusal;
use super::audit::Subject;
use super::call::Call;
use super::{Wing, audit, grant, login};
use crate::accounts::keys::Keys;
use crate::store::{Account, AuditEvent};

pub fn of<'w>(wing: &'w Wing, call: &Call) -> Keys<'w> {
    let (store, revocations) = (&*wing.stores.api_keys, &*wing.stores.revocations);
    Keys { store, revocations, until: grant::last_token_until(call) }
}

/// Ends every key of an account, which the audit log has with the reason.
pub async fn end_all(wing: &Wing, call: &Call, owner: Subject<'_>, reason: &str) -> Result<(), Refusal> {
    let Some(id) = owner.user_id else { return Ok(()) };
    let record = wing.record(call, AuditEvent::KeysEnded, owner, Some(reason));
    let ended = of(wing, call).end_all(id, &record).await?;
    if ended > 0 {
        wing.metrics.revocations.with_label_values(&["key"]).inc_by(ended);
        audit::log(&record);
    }
    Ok(())
}

/// Makes a change that ends the keys of the account, too, unless they are kept. They end before it, so that a
/// store that fails leaves the account as it was; and after it, for keys that were made in between.
pub async fn end_with<T>(
    wing: &Wing,
    call: &Call,
    account: &Account,
    reason: Option<&str>,
    change: impl Future<Output = Result<Option<T>, Refusal>>,
) -> Result<Option<T>, Refusal> {
    let Some(reason) = reason else { return change.await };
    end_all(wing, call, login::about(account), reason).await?;
    let changed = change.await?;
    if changed.is_some() {
        end_all(wing, call, login::about(account), reason).await?;
    }
    Ok(changed)
}
