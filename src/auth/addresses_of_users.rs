//! Addresses that operators set, and answer for.

use super::administration::{ATTEMPTS, Administration, AdministrationError, Change, Done};
use super::audit;
use super::mailer::Job;
use crate::identity::{UserId, email as address};
use crate::store::{Account, AuditEvent, Purpose};

impl Administration {
    /// Another address of the account. Where it isn't confirmed, it is mailed a token that confirms it. API keys from
    /// before the first confirmed address end unless they are kept: who made them may not have been its owner.
    pub async fn set_email(
        &self,
        user: &str,
        email: &str,
        is_confirmed: bool,
        keep_keys: bool,
    ) -> Done<Account> {
        let email = address::parse(email).map_err(AdministrationError::Bad)?;
        let detail = if is_confirmed { "email, confirmed" } else { "email" };
        for _ in 0..ATTEMPTS {
            let account = self.find(user).await?;
            let record = self.about(AuditEvent::ProfileChanged, &account, Some(detail.to_owned()));
            let keys_end = keys_end(&account, is_confirmed && !keep_keys);
            let change = Change::Email(&email, is_confirmed);
            let Some(changed) = self.try_change(&account, &change, keys_end, &record).await? else {
                continue;
            };
            audit::log(&record);
            let changed = changed.ended()?;
            if !is_confirmed {
                self.ask_to_confirm(&changed);
            }
            return Ok(changed);
        }
        Err(AdministrationError::Changed(user.to_owned()))
    }

    /// Confirms the address that the owner gave last, without a mail. API keys as for [`set_email`](Self::set_email).
    pub async fn confirm_email(&self, user: &str, keep_keys: bool) -> Done<Account> {
        for _ in 0..ATTEMPTS {
            let account = self.find(user).await?;
            let Some(email) = account.unconfirmed_email() else {
                return account.email.is_some().then_some(account).ok_or_else(no_address);
            };
            let record = self.about(AuditEvent::EmailVerified, &account, None);
            let change = Change::Email(email, true);
            let keys_end = keys_end(&account, !keep_keys);
            if let Some(changed) = self.try_change(&account, &change, keys_end, &record).await? {
                audit::log(&record);
                return Ok(changed.ended()?);
            }
        }
        Err(AdministrationError::Changed(user.to_owned()))
    }

    /// It can be asked for again, so that a full queue is no failure.
    fn ask_to_confirm(&self, account: &Account) {
        if self.policy.mail.delivery.is_none() {
            return;
        }
        let purpose = Purpose::VerifyEmail;
        let Ok(place) = self.mailer.reserve(purpose) else {
            tracing::warn!(user_id = %account.id, "too many mails are waiting; none to confirm an address");
            return;
        };
        let record = self.record(AuditEvent::VerificationSent, UserId::nil(), "", None);
        let (accounts, policy) = (vec![account.clone()], self.policy.clone());
        self.mailer.post(place, Job { purpose, accounts, policy, record });
    }
}

fn no_address() -> AdministrationError {
    AdministrationError::Bad("the account has no address; set one first".to_owned())
}

fn keys_end(account: &Account, may_end: bool) -> Option<&'static str> {
    (may_end && account.confirmed_email().is_none()).then_some("first address confirmed")
}
