//! What operators do to passwords, second factors and lockouts.

use super::administration::{Administration, Change, Done};
use crate::clock::now;
use crate::identity::UserId;
use crate::store::lockouts::Lockout;
use crate::store::{Account, AuditEvent};

impl Administration {
    /// A new password, whatever the old one was; every session and lockout ends, and every API key unless they are kept.
    pub async fn set_password(&self, user: &str, password: &str, keep_keys: bool) -> Done<Account> {
        let reason = (!keep_keys).then_some("password set by an operator");
        let account = self.find(user).await?;
        let hash = self.hash(password, &account.username, account.email.as_deref()).await?;
        let event = (AuditEvent::PasswordChanged, None);
        let changed = self.change(user, event, reason, Change::Password(&hash)).await?;
        self.stores.lockouts.clear(changed.id).await?;
        Ok(changed)
    }

    /// Takes the second factor away; every session ends, and every API key unless they are kept. `false` if there
    /// was none.
    pub async fn reset_mfa(&self, user: &str, keep_keys: bool) -> Done<bool> {
        let reason = (!keep_keys).then_some("second factor reset");
        let account = self.find(user).await?;
        if !account.has_second_factor {
            // Maybe it was removed before, and ending the sessions failed.
            self.ending().again(&account, now()).await?;
            return Ok(false);
        }
        self.change(user, (AuditEvent::SecondFactorReset, None), reason, Change::NoSecondFactor).await?;
        Ok(true)
    }

    /// Gives the account a version above all that were revoked, and ends every session of it: after an older dump
    /// of the account store was restored.
    pub async fn mend(&self, user: &str) -> Done<Account> {
        self.change(user, (AuditEvent::Mended, None), None, Change::Mended).await
    }

    /// Who is locked out of each of these accounts, in their order.
    pub async fn lockouts(&self, accounts: &[Account]) -> Done<Vec<Lockout>> {
        let ids: Vec<UserId> = accounts.iter().map(|account| account.id).collect();
        Ok(self.stores.lockouts.lockouts(&ids, now()).await?)
    }

    /// The account as [`find`](Self::find) finds it, and who is locked out of it.
    pub async fn find_with_lockout(&self, user: &str) -> Done<(Account, Lockout)> {
        let account = self.find(user).await?;
        let lockouts = self.lockouts(std::slice::from_ref(&account)).await?;
        Ok((account, lockouts.into_iter().next().unwrap_or_default()))
    }

    /// `true` if there was a lockout or failures to clear.
    pub async fn unlock(&self, user: &str) -> Done<bool> {
        let account = self.find(user).await?;
        let was_locked = self.stores.lockouts.clear(account.id).await?;
        self.append(self.about(AuditEvent::Unlocked, &account, None)).await?;
        Ok(was_locked)
    }
}
