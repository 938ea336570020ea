//! Addresses that operators set, and answer for.

use super::administration::{ATTEMPTS, Administration, AdministrationError, Change, Done};
use super::audit;
use super::mailer::Job;
use crate::identity::{UserId, email as address};
use crate::store::{Account, AuditEvent, Purpose};

impl Administration {
    /// Another address of the account. Where it isn't confirmed, it is mailed a token that confirms it.
    pub async fn set_email(&self, user: &str, email: &str, is_confirmed: bool) -> Done<Account> {
        let email = address::parse(email).map_err(AdministrationError::Bad)?;
        let detail = if is_confirmed { "email, confirmed" } else { "email" };
        let change = Change::Email(&email, is_confirmed);
        let changed = self.change(user, AuditEvent::ProfileChanged, Some(detail.to_owned()), change).await?;
        if !is_confirmed {
            self.ask_to_confirm(&changed);
        }
        Ok(changed)
    }

    /// Confirms the address that the owner gave last, without a mail.
    pub async fn confirm_email(&self, user: &str) -> Done<Account> {
        for _ in 0..ATTEMPTS {
            let account = self.find(user).await?;
            let Some(email) = account.unconfirmed_email() else {
                return account.email.is_some().then_some(account).ok_or_else(no_address);
            };
            let record = self.about(AuditEvent::EmailVerified, &account, None);
            let change = Change::Email(email, true);
            if let Some(changed) = self.try_change(&account, &change, &record).await? {
                audit::log(&record);
                return Ok(changed);
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
