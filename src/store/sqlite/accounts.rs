//! The table `users`.

use async_trait::async_trait;

use super::column::{self, micros};
use super::users::{UserRow, account, insert, named};
use super::{SqliteUsers, audit, failed, names, second_factors};
use crate::clock::Timestamp;
use crate::identity::{UserId, name};
use crate::store::{
    Account, AccountFilter, Accounts, AddressState, AuditRecord, CreateError, FormerName, ImportedAccount,
    NewAccount, StoreError,
};

/// The key of a new name; `None` keeps the one that there is, which may be from before the final sigma was folded.
fn new_key(account: &Account, username: &str) -> Option<String> {
    let key = name::fold(username);
    (key != name::fold(&account.username)).then_some(key)
}

#[async_trait]
impl Accounts for SqliteUsers {
    async fn create(&self, new: &NewAccount, note: &AuditRecord) -> Result<Account, CreateError> {
        self.change_name(insert(new, false, false), None, note)
            .await?
            .ok_or_else(|| failed("INSERT returned no row").into())
    }

    async fn import(
        &self,
        rows: &[ImportedAccount],
        progress: &(dyn Fn(usize) + Send + Sync),
    ) -> Result<(), CreateError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        for (written, row) in rows.iter().enumerate() {
            let insert = insert(&row.account, row.disabled, row.sealed_secret.is_some());
            named(insert.fetch_optional(&mut *transaction).await)?;
            let NewAccount { id, username, .. } = &row.account;
            if let Some(sealed) = &row.sealed_secret {
                let factor = second_factors::insert(*id, sealed).execute(&mut *transaction);
                factor.await.map_err(failed)?;
            }
            let settled = names::settle(&mut transaction, *id, None, username, row.note.at).await;
            if let Some(refused) = settled.map_err(failed)? {
                return Err(refused);
            }
            audit::append(&mut transaction, &row.note).await.map_err(failed)?;
            progress(written + 1);
        }
        transaction.commit().await.map_err(|error| failed(error).into())
    }

    async fn known_ids(&self, ids: &[UserId]) -> Result<Vec<UserId>, StoreError> {
        let ids: Vec<String> = ids.iter().map(UserId::to_string).collect();
        let select = sqlx::query_scalar("SELECT id FROM users WHERE id IN (SELECT value FROM json_each(?1))");
        let select = select.bind(serde_json::Value::from(ids).to_string());
        let known: Vec<String> = select.fetch_all(&self.pool).await.map_err(failed)?;
        known.iter().map(|id| column::parse(id)).collect()
    }

    async fn taken(&self, names: &[String]) -> Result<Vec<String>, StoreError> {
        let select = sqlx::query_scalar(
            "SELECT username_folded FROM users WHERE username_folded IN (SELECT value FROM json_each(?1)) \
             UNION SELECT username_key FROM former_usernames \
             WHERE username_key IN (SELECT value FROM json_each(?1))",
        );
        let names = serde_json::Value::from(names).to_string();
        select.bind(names).fetch_all(&self.pool).await.map_err(failed)
    }

    async fn find_by_username(&self, username: &str) -> Result<Option<Account>, StoreError> {
        // Of two from before the final sigma was folded, the one that is spelt so.
        let select = sqlx::query_as(
            "SELECT * FROM users WHERE username_folded = ?1 ORDER BY username_key = ?2 DESC LIMIT 1",
        );
        let select = select.bind(name::fold(username)).bind(name::fold_case(username));
        account(select.fetch_optional(&self.pool).await)
    }

    async fn find_by_id(&self, id: UserId) -> Result<Option<Account>, StoreError> {
        let select = sqlx::query_as("SELECT * FROM users WHERE id = ?1");
        account(select.bind(id.to_string()).fetch_optional(&self.pool).await)
    }

    async fn find_by_email(
        &self,
        email: &str,
        state: AddressState,
        limit: u32,
    ) -> Result<Vec<Account>, StoreError> {
        let select = match state {
            AddressState::Confirmed => {
                "SELECT * FROM users WHERE lower(email) = ?1 AND email_verified ORDER BY id LIMIT ?2"
            }
            AddressState::Unconfirmed => {
                "SELECT * FROM users WHERE lower(email) = ?1 AND NOT email_verified OR lower(pending_email) = ?1 \
                 ORDER BY email_verified DESC, id LIMIT ?2"
            }
        };
        let select = sqlx::query_as::<_, UserRow>(select);
        let select = select.bind(email.to_ascii_lowercase()).bind(limit);
        let rows = select.fetch_all(&self.pool).await.map_err(failed)?;
        rows.into_iter().map(UserRow::account).collect()
    }

    async fn find_by_roles(&self, roles: &[String], limit: u32) -> Result<Vec<Account>, StoreError> {
        let select = sqlx::query_as::<_, UserRow>(
            "SELECT * FROM users \
             WHERE EXISTS (SELECT 1 FROM json_each(roles) AS own \
                           JOIN json_each(?1) AS wanted ON own.value = wanted.value) \
             ORDER BY id LIMIT ?2",
        );
        let rows = select.bind(column::roles_json(roles)).bind(limit).fetch_all(&self.pool).await;
        rows.map_err(failed)?.into_iter().map(UserRow::account).collect()
    }

    async fn list(&self, filter: AccountFilter<'_>, limit: u32) -> Result<Vec<Account>, StoreError> {
        // Nothing sorts after the last code point.
        let select = sqlx::query_as::<_, UserRow>(
            "SELECT * FROM users \
             WHERE username_folded > ?1 AND username_folded >= ?2 AND username_folded < ?2 || char(1114111) \
             ORDER BY username_folded LIMIT ?3",
        );
        let key = |text: Option<&str>| name::fold(text.unwrap_or_default());
        let select = select.bind(key(filter.after)).bind(key(filter.prefix));
        let rows = select.bind(limit).fetch_all(&self.pool).await.map_err(failed)?;
        rows.into_iter().map(UserRow::account).collect()
    }

    async fn set_profile(
        &self,
        account: &Account,
        username: &str,
        email: Option<&str>,
        new_hash: Option<&str>,
        now: Timestamp,
        note: &AuditRecord,
    ) -> Result<Option<Account>, CreateError> {
        let update = sqlx::query_as(
            "UPDATE users SET username = ?2, username_key = coalesce(?3, username_key), \
                 email = CASE WHEN email_verified AND ?4 IS NOT NULL THEN coalesce(email, ?4) ELSE ?4 END, \
                 pending_email = CASE WHEN email_verified AND email <> ?4 THEN ?4 END, \
                 email_verified = email_verified AND (email IS NULL) = (?4 IS NULL), \
                 password_hash = coalesce(?7, password_hash), \
                 credentials_version = credentials_version + (?7 IS NOT NULL), \
                              version = version + 1, updated_at = ?5 \
             WHERE id = ?1 AND version = ?6 RETURNING *",
        );
        let update = update.bind(account.id.to_string()).bind(username).bind(new_key(account, username));
        let update = update.bind(email).bind(micros(now)).bind(column::signed(account.version));
        self.change_name(update.bind(new_hash), Some(&account.username), note).await
    }

    async fn set_email(
        &self,
        owner: &Account,
        email: &str,
        is_confirmed: bool,
        now: Timestamp,
        note: &AuditRecord,
    ) -> Result<Option<Account>, StoreError> {
        let update = sqlx::query_as(
            "UPDATE users SET email = ?2, email_verified = ?3, pending_email = NULL, \
                              must_confirm_email = must_confirm_email AND NOT ?3, \
                              version = version + 1, updated_at = ?4 \
             WHERE id = ?1 AND version = ?5 RETURNING *",
        );
        let update = update.bind(owner.id.to_string()).bind(email).bind(is_confirmed).bind(micros(now));
        account(self.change(update.bind(column::signed(owner.version)), note).await)
    }

    async fn set_password(
        &self,
        account: &Account,
        new_hash: &str,
        now: Timestamp,
        note: &AuditRecord,
    ) -> Result<Option<Account>, StoreError> {
        let update = sqlx::query_as(
            "UPDATE users SET password_hash = ?2, version = version + 1, \
                              credentials_version = credentials_version + 1, updated_at = ?3 \
             WHERE id = ?1 AND version = ?4 RETURNING *",
        );
        let update = update
            .bind(account.id.to_string())
            .bind(new_hash)
            .bind(micros(now))
            .bind(column::signed(account.version));
        self::account(self.change(update, note).await)
    }

    async fn set_roles(
        &self,
        account: &Account,
        roles: &[String],
        now: Timestamp,
        note: &AuditRecord,
    ) -> Result<Option<Account>, StoreError> {
        let update = sqlx::query_as(
            "UPDATE users SET roles = ?2, version = version + 1, updated_at = ?3 \
             WHERE id = ?1 AND version = ?4 RETURNING *",
        );
        let update = update
            .bind(account.id.to_string())
            .bind(column::roles_json(roles))
            .bind(micros(now))
            .bind(column::signed(account.version));
        self::account(self.change(update, note).await)
    }

    async fn set_disabled(
        &self,
        account: &Account,
        disabled: bool,
        now: Timestamp,
        note: &AuditRecord,
    ) -> Result<Option<Account>, StoreError> {
        let update = sqlx::query_as(
            "UPDATE users SET disabled = ?2, version = version + 1, \
                              credentials_version = credentials_version + ?2, updated_at = ?3 \
             WHERE id = ?1 AND version = ?4 RETURNING *",
        );
        let update = update
            .bind(account.id.to_string())
            .bind(disabled)
            .bind(micros(now))
            .bind(column::signed(account.version));
        self::account(self.change(update, note).await)
    }

    async fn raise_version(
        &self,
        account: &Account,
        version: u64,
        now: Timestamp,
        note: &AuditRecord,
    ) -> Result<Option<Account>, StoreError> {
        let update = sqlx::query_as(
            "UPDATE users SET version = ?2, credentials_version = credentials_version + 1, updated_at = ?3 \
             WHERE id = ?1 AND version = ?4 AND version < ?2 RETURNING *",
        );
        let update = update
            .bind(account.id.to_string())
            .bind(column::signed(version))
            .bind(micros(now))
            .bind(column::signed(account.version));
        self::account(self.change(update, note).await)
    }

    async fn upgrade_hash(
        &self,
        id: UserId,
        old_hash: &str,
        new_hash: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let update = sqlx::query(
            "UPDATE users SET password_hash = ?3, updated_at = ?4 WHERE id = ?1 AND password_hash = ?2",
        )
        .bind(id.to_string())
        .bind(old_hash)
        .bind(new_hash)
        .bind(micros(now));
        let done = update.execute(&self.pool).await.map_err(failed)?;
        Ok(done.rows_affected() > 0)
    }

    async fn delete(&self, account: &Account, note: &AuditRecord) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        let delete = sqlx::query("DELETE FROM users WHERE id = ?1 AND version = ?2");
        let delete = delete.bind(account.id.to_string()).bind(column::signed(account.version));
        let done = delete.execute(&mut *transaction).await.map_err(failed)?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        let (id, username) = (account.id, &account.username);
        names::leave(&mut transaction, id, username, note.at).await.map_err(failed)?;
        audit::append(&mut transaction, note).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(true)
    }

    async fn former_names(&self, after: Option<&str>, limit: u32) -> Result<Vec<FormerName>, StoreError> {
        self.former(after, limit).await
    }

    async fn free_name(&self, username: &str, note: &AuditRecord) -> Result<bool, StoreError> {
        self.free(username, note).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.pool).await.map_err(failed)?;
        Ok(())
    }
}
