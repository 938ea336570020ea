//! Nobody becomes an operator by accident or unseen: it has to be said, has an audit record of its own, and the
//! other operators are told by mail.

use super::administration::{Administration, AdministrationError, Done};
use crate::accounts::notices::notice;
use crate::accounts::operators::{self, Grant};
use crate::store::{Account, AuditEvent, NoticeKind, StoreError};

/// Who of the operators is told.
const MOST_TOLD: u32 = 1000;

impl Administration {
    /// The roles of operators that a change from these roles to those grants; `Err` if it wasn't said that it may.
    pub(super) fn check_grant(
        &self,
        before: &[String],
        after: &[String],
        may_grant: bool,
    ) -> Done<Vec<String>> {
        let granted = operators::granted(&self.policy.admin, before, after);
        match granted.first().filter(|_| !may_grant) {
            Some(role) => Err(AdministrationError::Bad(unsaid(role))),
            None => Ok(granted),
        }
    }

    /// After roles of operators were given. A mail that can't be sent doesn't undo that.
    pub(super) async fn note_grants(&self, grants: &[Grant]) -> Done<()> {
        for grant in grants.iter().filter(|grant| !grant.roles.is_empty()) {
            let roles = Some(grant.roles.join(","));
            let record = self.record(AuditEvent::OperatorGranted, grant.id, &grant.username, roles);
            self.append(record).await?;
        }
        if grants.iter().any(|grant| !grant.roles.is_empty())
            && let Err(error) = self.tell_operators(grants).await
        {
            tracing::error!(%error, "operators were not told of a new operator");
        }
        Ok(())
    }

    async fn tell_operators(&self, grants: &[Grant]) -> Result<(), StoreError> {
        if self.policy.mail.delivery.is_none() {
            return Ok(());
        }
        let operators = self.stores.accounts.find_by_roles(&self.policy.admin.roles, MOST_TOLD).await?;
        let is_new = |account: &Account| grants.iter().any(|grant| grant.id == account.id);
        let told = operators::told(grants, &self.operator.name);
        for account in operators.iter().filter(|account| !account.disabled && !is_new(account)) {
            let Some(email) = account.confirmed_email() else { continue };
            let record = self.record(AuditEvent::NoticeSent, account.id, &account.username, None);
            let notice = notice(NoticeKind::Operators, account, email, told.clone(), &record);
            self.mailer.tell(&notice, &self.policy).await;
        }
        Ok(())
    }
}

/// Why a role isn't given, for people at the command line and programs.
pub fn unsaid(role: &str) -> String {
    format!(
        "{role:?} makes an operator of the gateway (admin.roles): say so by --allow-operators, or in a request by \"allow_operators\": true"
    )
}
