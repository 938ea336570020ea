//! What operators see of the audit log and of former names, and what is noted there of other work of theirs.

use super::administration::{Administration, AdministrationError, Done};
use super::audit;
use crate::identity::UserId;
use crate::store::{
    Account, AuditEntry, AuditEvent, AuditFilter, AuditPage, AuditPosition, AuditRecord, FormerName,
};

impl Administration {
    /// A page of the names that renamed and deleted accounts had, in order; empty at the end.
    pub async fn former_names(&self, after: Option<&str>, limit: u32) -> Done<Vec<FormerName>> {
        Ok(self.stores.accounts.former_names(after, limit).await?)
    }

    /// Makes such a name free for every account.
    pub async fn free_name(&self, username: &str) -> Done<()> {
        let record = self.record(AuditEvent::NameFreed, UserId::nil(), username, None);
        let record = AuditRecord { user_id: None, ..record };
        if !self.stores.accounts.free_name(username, &record).await? {
            return Err(AdministrationError::NoFormerName(username.to_owned()));
        }
        audit::log(&record);
        Ok(())
    }

    /// Notes that a token is about to be made outside of any login.
    pub async fn note_mint(&self, account: &Account, with_factor: bool) -> Done<()> {
        let detail = with_factor.then(|| "with a second factor".to_owned());
        self.append(self.about(AuditEvent::TokenMinted, account, detail)).await
    }

    /// Notes that the keys of all tokens were rotated, which concerns no account in particular.
    pub async fn note_rotation(&self) -> Done<()> {
        let record = self.record(AuditEvent::KeysRotated, UserId::nil(), "", None);
        self.append(AuditRecord { user_id: None, ..record }).await
    }

    /// Newest first.
    pub async fn audit(&self, filter: &AuditFilter, limit: u32) -> Done<Vec<AuditEntry>> {
        Ok(self.stores.audit.find(filter, limit).await?)
    }

    /// The same, and where the log ends now.
    pub async fn newest_audit(&self, filter: &AuditFilter, limit: u32) -> Done<AuditPage> {
        Ok(self.stores.audit.newest(filter, limit).await?)
    }

    /// What has come since, oldest first.
    pub async fn audit_since(&self, filter: &AuditFilter, position: &str, limit: u32) -> Done<AuditPage> {
        let position = AuditPosition(position.to_owned());
        let page = self.stores.audit.since(filter, &position, limit).await?;
        page.ok_or_else(|| AdministrationError::Bad("`after` is no `position` in this audit log".to_owned()))
    }
}
