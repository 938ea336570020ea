//! Accounts that another program kept so far: checked all together, then added all together. Their
//! hashes are kept as they are until the first login.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use serde::Serialize;
use uuid::Uuid;

use super::administration::{Administration, AdministrationError, Done, check_roles};
use crate::accounts::operators::{self, Grant};
use crate::clock::now;
use crate::identity::name::{self, DEFAULT_ROLE};
use crate::identity::vault::Vault;
use crate::identity::{email as address, password, totp};
use crate::store::{AuditEvent, CreateError, ImportedAccount, NewAccount};

/// As many names are looked up with one question.
const NAMES_AT_ONCE: usize = 10_000;

/// What a file says of one account.
#[derive(Debug)]
pub struct ImportRow {
    pub line: u64,
    pub username: String,
    /// A UUID, by which backends know the account already; a new one if absent.
    pub id: Option<String>,
    pub email: Option<String>,
    /// Whether the program that kept it so far had it confirmed.
    pub email_verified: bool,
    /// Those of a registered account if absent.
    pub roles: Option<Vec<String>>,
    pub password_hash: String,
    /// In base32: a second factor that the account has from the start.
    pub totp_secret: Option<String>,
    pub disabled: bool,
}

impl ImportRow {
    fn parsed_id(&self) -> Option<Uuid> {
        Uuid::parse_str(self.id.as_deref()?).ok().filter(|id| !id.is_nil() && !id.is_max())
    }
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
        let (taken, known) = (self.taken(&rows).await?, self.known_ids(&rows).await?);
        let (mut by_name, mut by_id) = (HashMap::new(), HashMap::new());
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
            wrong.extend(seen_before(&mut by_name, folded, row.line, "username"));
            if let Some(id) = row.parsed_id() {
                if known.contains(&id) {
                    wrong.push("An account has this id already.".to_owned());
                }
                wrong.extend(seen_before(&mut by_id, id, row.line, "id"));
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

    /// Adds rows that were checked, all or none of them. The vault seals the secrets of second factors.
    pub async fn import(
        &self,
        rows: Vec<ImportRow>,
        vault: &Vault,
        progress: &(dyn Fn(usize) + Send + Sync),
    ) -> Done<()> {
        let rows: Vec<_> = rows.into_iter().map(|row| self.imported(row, vault)).collect();
        let imported = self.stores.accounts.import(&rows, progress).await;
        imported.map_err(|error| match error {
            CreateError::UsernameTaken | CreateError::UsernameReserved => AdministrationError::Bad(
                "one of the usernames or ids was taken meanwhile, so nothing was imported; try again"
                    .to_owned(),
            ),
            CreateError::Store(error) => error.into(),
        })?;
        // One line for all: the records of each are in the audit log.
        tracing::info!(accounts = rows.len(), actor = self.operator.name, "accounts imported");
        let grants: Vec<Grant> = rows.iter().filter_map(|row| self.granted(&row.account)).collect();
        self.note_grants(&grants).await
    }

    fn imported(&self, row: ImportRow, vault: &Vault) -> ImportedAccount {
        let id = row.parsed_id().unwrap_or_else(Uuid::now_v7);
        let secret = row.totp_secret.as_deref().and_then(totp::read_secret);
        let account = NewAccount {
            id,
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
        let sealed_secret = secret.map(|secret| vault.seal(&secret, id));
        ImportedAccount { account, disabled: row.disabled, sealed_secret, note }
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

    async fn known_ids(&self, rows: &[ImportRow]) -> Done<HashSet<Uuid>> {
        let ids: Vec<Uuid> = rows.iter().filter_map(ImportRow::parsed_id).collect();
        let mut known = HashSet::new();
        for some in ids.chunks(NAMES_AT_ONCE) {
            known.extend(self.stores.accounts.known_ids(some).await?);
        }
        Ok(known)
    }
}

/// The first line with this value keeps it.
fn seen_before<T: Hash + Eq>(lines: &mut HashMap<T, u64>, value: T, line: u64, what: &str) -> Option<String> {
    match lines.entry(value) {
        Entry::Occupied(earlier) => Some(format!("The {what} is also that of line {}.", earlier.get())),
        Entry::Vacant(first) => {
            first.insert(line);
            None
        }
    }
}

fn wrong_fields(row: &ImportRow) -> Vec<String> {
    let username = name::check_username(&row.username).err();
    let email = row.email.as_deref().and_then(|email| address::parse(email).err());
    let roles = row.roles.as_deref().and_then(|roles| check_roles(roles).err());
    let roles = roles.map(|error| format!("{error}."));
    let hash = password::check_stored(&row.password_hash).err().map(str::to_owned);
    let is_bad_id = row.id.is_some() && row.parsed_id().is_none();
    let id = is_bad_id.then(|| "`id` is a UUID.".to_owned());
    let is_bad_secret = row.totp_secret.as_deref().is_some_and(|secret| totp::read_secret(secret).is_none());
    let secret = is_bad_secret.then(|| "`totp_secret` is base32 of 10 to 64 bytes.".to_owned());
    [username, id, email, roles, hash, secret].into_iter().flatten().collect()
}
