//! Accounts that another program kept so far: checked all together, then added all together. Their
//! hashes are kept as they are until the first login.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use serde::Serialize;
use uuid::Uuid;

use super::administration::{Administration, AdministrationError, Done, check_roles};
use crate::accounts::operators::{self, Grant};
use crate::clock::now;
use crate::identity::name::{self, DEFAULT_ROLE};
use crate::identity::{email as address, password};
use crate::store::{AuditEvent, CreateError, ImportedAccount, NewAccount};

/// As many names are looked up with one question.
const NAMES_AT_ONCE: usize = 10_000;

/// What a file says of one account.
#[derive(Debug)]
pub struct ImportRow {
    pub line: u64,
    pub username: String,
    pub email: Option<String>,
    /// Whether the program that kept it so far had it confirmed.
    pub email_verified: bool,
    /// Those of a registered account if absent.
    pub roles: Option<Vec<String>>,
    pub password_hash: String,
    pub disabled: bool,
}

/// Why a row can't be added. Never holds a piece of its hash.
#[derive(Debug, Serialize)]
pub struct ImportProblem {
    pub line: u64,
    pub username: Option<String>,
    /// Sentences.
    pub problem: String,
}

impl Administration {
    /// The rows that can be added, and why the others can't.
    /// `allow_operators`: whether it was said that rows may make operators.
    pub async fn check_import(
        &self,
        rows: Vec<ImportRow>,
        allow_operators: bool,
    ) -> Done<(Vec<ImportRow>, Vec<ImportProblem>)> {
        let taken = self.taken(&rows).await?;
        let mut lines = HashMap::new();
        let (mut good, mut problems) = (Vec::new(), Vec::new());
        for row in rows {
            let mut wrong = wrong_fields(&row);
            let folded = name::fold(&row.username);
            let roles = row.roles.as_deref().unwrap_or_default();
            if let Err(error) = self.check_grant(&[], roles, allow_operators) {
                wrong.push(format!("{error}."));
            }
            if taken.contains(&folded) {
                wrong.push("The username is taken.".to_owned());
            }
            match lines.entry(folded) {
                Entry::Occupied(earlier) => {
                    wrong.push(format!("The username is also that of line {}.", earlier.get()));
                }
                Entry::Vacant(first) => _ = first.insert(row.line),
            }
            match wrong.is_empty() {
                true => good.push(row),
                false => {
                    let (line, username) = (row.line, Some(row.username));
                    problems.push(ImportProblem { line, username, problem: wrong.join(" ") });
                }
            }
        }
        Ok((good, problems))
    }

    /// Adds rows that were checked, all or none of them.
    pub async fn import(&self, rows: Vec<ImportRow>) -> Done<()> {
        let rows: Vec<_> = rows.into_iter().map(|row| self.imported(row)).collect();
        let imported = self.stores.accounts.import(&rows).await;
        imported.map_err(|error| match error {
            CreateError::UsernameTaken | CreateError::UsernameReserved => AdministrationError::Bad(
                "one of the usernames was taken meanwhile, so nothing was imported; try again".to_owned(),
            ),
            CreateError::Store(error) => error.into(),
        })?;
        // One line for all: the records of each are in the audit log.
        tracing::info!(accounts = rows.len(), actor = self.operator.name, "accounts imported");
        let grants: Vec<Grant> = rows.iter().filter_map(|row| self.granted(&row.account)).collect();
        self.note_grants(&grants).await
    }

    fn imported(&self, row: ImportRow) -> ImportedAccount {
        let account = NewAccount {
            id: Uuid::now_v7(),
            // Checked before: it has such a form.
            username: name::username(&row.username).unwrap_or(row.username),
            email_verified: row.email.is_some() && row.email_verified,
            email: row.email,
            must_confirm_email: false,
            password_hash: row.password_hash,
            roles: row.roles.unwrap_or_else(|| vec![DEFAULT_ROLE.to_owned()]),
            created_at: now(),
        };
        let roles = Some(account.roles.join(","));
        let note = self.record(AuditEvent::Imported, account.id, &account.username, roles);
        ImportedAccount { account, disabled: row.disabled, note }
    }

    fn granted(&self, account: &NewAccount) -> Option<Grant> {
        let roles = operators::granted(&self.policy.admin, &[], &account.roles);
        (!roles.is_empty()).then(|| Grant { id: account.id, username: account.username.clone(), roles })
    }

    async fn taken(&self, rows: &[ImportRow]) -> Done<HashSet<String>> {
        let mut taken = HashSet::new();
        for some in rows.chunks(NAMES_AT_ONCE) {
            let names: Vec<_> = some.iter().map(|row| name::fold(&row.username)).collect();
            taken.extend(self.stores.accounts.taken(&names).await?);
        }
        Ok(taken)
    }
}

fn wrong_fields(row: &ImportRow) -> Vec<String> {
    let username = name::check_username(&row.username).err();
    let email = row.email.as_deref().and_then(|email| address::parse(email).err());
    let roles = row.roles.as_deref().and_then(|roles| check_roles(roles).err());
    let roles = roles.map(|error| format!("{error}."));
    let hash = password::check_stored(&row.password_hash).err().map(str::to_owned);
    [username, email, roles, hash].into_iter().flatten().collect()
}
