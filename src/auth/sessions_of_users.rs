//! What operators see of sessions, and do to them.

use super::administration::{Administration, AdministrationError, Done};
use crate::clock::now;
use crate::identity::SessionId;
use crate::store::{AuditEvent, Session, SessionPage};

impl Administration {
    /// A page of them, newest first; empty at the end.
    pub async fn sessions(&self, user: &str, page: SessionPage) -> Done<Vec<Session>> {
        let account = self.find(user).await?;
        Ok(self.stores.sessions.list(account.id, page, now()).await?)
    }

    pub async fn end_session(&self, id: SessionId) -> Done<()> {
        let found = self.stores.sessions.find(id, now()).await?;
        let session = found.ok_or(AdministrationError::UnknownSession(id))?;
        self.stores.sessions.end(id, self.last_token_until()).await?;
        let detail = Some(id.to_string());
        self.append(self.record(AuditEvent::SessionEnded, session.user_id, &session.username, detail)).await
    }

    /// How many sessions there were. Every API key ends, too, unless they are kept.
    pub async fn end_sessions(&self, user: &str, keep_keys: bool) -> Done<u64> {
        let account = self.find(user).await?;
        let ended = self.stores.sessions.end_all(account.id, self.last_token_until()).await?;
        self.end_keys_of(&account, (!keep_keys).then_some("every session ended by an operator")).await?;
        let detail = Some(format!("everywhere: {ended} sessions"));
        self.append(self.about(AuditEvent::SessionEnded, &account, detail)).await?;
        Ok(ended)
    }
}
