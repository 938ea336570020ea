//! Tells the owner of an account by mail what was changed in it by somebody who had what it takes, the owner
//! or not (ASVS 6.3.7). The change waits for the queue and for no mail, and
//! stays when none can be sent.

use super::call::Call;
use super::{Wing, audit, login};
use crate::accounts::notices::notice;
use crate::store::{Account, AuditEvent, AuditRecord, NoticeKind, QueuedNotice};

/// What owners hear of.
#[derive(Debug, Clone, Copy)]
pub enum Change {
    Password,
    Name,
    Email,
    /// Another address was given, and isn't confirmed yet.
    EmailAsked,
    SecondFactorEnabled,
    SecondFactorDisabled,
    RecoveryCodes,
    ApiKey,
    ApiKeyDeleted,
    SessionEnded,
    Deleted,
}

impl Change {
    /// In words for the owner.
    fn told(self) -> &'static str {
        match self {
            Self::Password => "Your password was changed",
            Self::Name => "The username of your account was changed",
            Self::Email => "This is no longer the email address of your account",
            Self::EmailAsked => "Another address was given for your account; it is yet to be confirmed",
            Self::SecondFactorEnabled => "A second factor was turned on for your account",
            Self::SecondFactorDisabled => "The second factor of your account was turned off",
            Self::RecoveryCodes => "Your account was given new recovery codes; those before are void",
            Self::ApiKey => "An API key was made that acts for you",
            Self::ApiKeyDeleted => "An API key of your account was deleted",
            Self::SessionEnded => "A session of your account was ended",
            Self::Deleted => "Your account was deleted",
        }
    }
}

/// Adds mail about a change to the record of it, so that both are stored with the change, or neither. It goes to the
/// address of `account`, which is that of before where the address changes; if it was confirmed, since any other may be
/// a stranger's.
pub async fn add(wing: &Wing, call: &Call, account: &Account, change: Change, record: &mut AuditRecord) {
    if let Some(notice) = made(wing, call, account, change)
        && wing.mailer.has_room(account, change.told()).await
    {
        record.notices.push(notice);
    }
}

/// The same for what has been changed already. Returns once the mail is in the queue.
pub async fn post(wing: &Wing, call: &Call, account: &Account, change: Change) {
    if let Some(notice) = made(wing, call, account, change) {
        wing.mailer.tell(&notice, &call.settings.policy).await;
    }
}

/// After the record is stored: it is logged, and mail that came with it is sent.
pub fn stored(wing: &Wing, call: &Call, record: &AuditRecord) {
    audit::log(record);
    if !record.notices.is_empty() {
        wing.mailer.send_notices(&call.settings.policy);
    }
}

fn made(wing: &Wing, call: &Call, account: &Account, change: Change) -> Option<QueuedNotice> {
    let policy = &call.settings.policy;
    if !policy.auth.email.notices || policy.mail.delivery.is_none() {
        return None;
    }
    let email = account.confirmed_email()?;
    let record = wing.record(call, AuditEvent::NoticeSent, login::about(account), None);
    Some(notice(NoticeKind::Owner, account, email, change.told().to_owned(), &record))
}
