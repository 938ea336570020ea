//! The table `users`.

use async_trait::async_trait;

use super::users::{UserRow, account, insert, named};
use super::{PostgresUsers, audit, failed, in_time, names, second_factors, signed};
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
impl Accounts for PostgresUsers {
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
        let mut transaction = in_time(self.pool.begin()).await.map_err(failed)?;
        for (written, row) in rows.iter().enumerate() {
            let insert = insert(&row.account, row.disabled, row.sealed_secret.is_some());
            named(in_time(insert.fetch_optional(&mut *transaction)).await)?;
            let NewAccount { id, username, .. } = &row.account;
            if let Some(sealed) = &row.sealed_secret {
                let factor = second_factors::insert(*id, sealed).execute(&mut *transaction);
                in_time(factor).await.map_err(failed)?;
            }
            let settled = names::settle(&mut transaction, *id, None, username, row.note.at);
            if let Some(refused) = in_time(settled).await.map_err(failed)? {
                return Err(refused);
            }
            in_time(audit::append(&mut transaction, &row.note)).await.map_err(failed)?;
            progress(written + 1);
        }
        // Waited for as long as it takes: nobody would know what became of one given up.
        transaction.commit().await.map_err(|error| failed(error).into())
    }

    async fn known_ids(&self, ids: &[UserId]) -> Result<Vec<UserId>, StoreError> {
        let select = sqlx::query_scalar("SELECT id FROM users WHERE id = ANY($1)").bind(ids);
        in_time(select.fetch_all(&self.pool)).await.map_err(failed)
    }

    async fn taken(&self, names: &[String]) -> Result<Vec<String>, StoreError> {
        // Postgres would take offence at a NUL, which no name has.
        let names: Vec<_> = names.iter().filter(|name| !name.contains('\0')).collect();
        let select = sqlx::query_scalar(
            "SELECT username_folded FROM users WHERE username_folded = ANY($1) \
             UNION SELECT username_key FROM former_usernames WHERE username_key = ANY($1)",
        );
        in_time(select.bind(names).fetch_all(&self.pool)).await.map_err(failed)
    }

    async fn find_by_username(&self, username: &str) -> Result<Option<Account>, StoreError> {
        // Nobody has such a name; Postgres would take offence.
        if username.contains('\0') {
            return Ok(None);
        }
        // Of two from before the final sigma was folded, the one that is spelt so.
        let select = sqlx::query_as(
            "SELECT * FROM users WHERE username_folded = $1 \
             ORDER BY username_key = $2 DESC LIMIT 1",
        );
        let select = select.bind(name::fold(username)).bind(name::fold_case(username));
        account(in_time(select.fetch_optional(&self.pool)).await)
    }

    async fn find_by_id(&self, id: UserId) -> Result<Option<Account>, StoreError> {
        let select = sqlx::query_as("SELECT * FROM users WHERE id = $1");
        account(in_time(select.bind(id).fetch_optional(&self.pool)).await)
    }

    async fn find_by_email(
        &self,
        email: &str,
        state: AddressState,
        limit: u32,
    ) -> Result<Vec<Account>, StoreError> {
        let select = match state {
            AddressState::Confirmed => {
                r#"SELECT * FROM users WHERE lower(email COLLATE "C") = $1 AND email_verified
                   ORDER BY id LIMIT $2"#
            }
            AddressState::Unconfirmed => {
                r#"SELECT * FROM users WHERE lower(email COLLATE "C") = $1 AND NOT email_verified
                                          OR lower(pending_email COLLATE "C") = $1
                   ORDER BY email_verified DESC, id LIMIT $2"#
            }
        };
        let select = sqlx::query_as::<_, UserRow>(select);
        let select = select.bind(email.to_ascii_lowercase()).bind(i64::from(limit));
        let rows = in_time(select.fetch_all(&self.pool)).await.map_err(failed)?;
        rows.into_iter().map(UserRow::account).collect()
    }

    async fn find_by_roles(&self, roles: &[String], limit: u32) -> Result<Vec<Account>, StoreError> {
        let select =
            sqlx::query_as::<_, UserRow>("SELECT * FROM users WHERE roles && $1 ORDER BY id LIMIT $2");
        let select = select.bind(roles).bind(i64::from(limit));
        let rows = in_time(select.fetch_all(&self.pool)).await.map_err(failed)?;
        rows.into_iter().map(UserRow::account).collect()
    }

    async fn list(&self, filter: AccountFilter<'_>, limit: u32) -> Result<Vec<Account>, StoreError> {
        // Bounds rather than conditions that may be absent: the index finds its way by them even in
        // a plan made for every filter. Nothing sorts after the last code point.
        let select = sqlx::query_as::<_, UserRow>(
            "SELECT * FROM users \
             WHERE username_folded > $1 AND username_folded >= $2 AND username_folded < $2 || chr(1114111) \
             ORDER BY username_folded LIMIT $3",
        );
        let key = |text: Option<&str>| name::fold(text.unwrap_or_default()).replace('\0', "\u{fffd}");
        let select = select.bind(key(filter.after)).bind(key(filter.prefix)).bind(i64::from(limit));
        let rows = in_time(select.fetch_all(&self.pool)).await.map_err(failed)?;
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
            "UPDATE users SET username = $2, username_key = coalesce($3, username_key), \
                 email = CASE WHEN email_verified AND $4 IS NOT NULL THEN coalesce(email, $4) ELSE $4 END, \
                 pending_email = CASE WHEN email_verified AND email <> $4 THEN $4 END, \
                 email_verified = email_verified AND (email IS NULL) = ($4 IS NULL), \
                 password_hash = coalesce($7, password_hash), \
                 credentials_version = credentials_version + ($7::text IS NOT NULL)::int, \
                              version = version + 1, updated_at = $5 \
             WHERE id = $1 AND version = $6 RETURNING *",
        );
        let update = update.bind(account.id).bind(username).bind(new_key(account, username)).bind(email);
        let update = update.bind(now).bind(signed(account.version)).bind(new_hash);
        self.change_name(update, Some(&account.username), note).await
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
            "UPDATE users SET email = $2, email_verified = $3, pending_email = NULL, \
                              must_confirm_email = must_confirm_email AND NOT $3, \
                              version = version + 1, updated_at = $4 \
             WHERE id = $1 AND version = $5 RETURNING *",
        );
        let update = update.bind(owner.id).bind(email).bind(is_confirmed).bind(now);
        account(self.change(update.bind(signed(owner.version)), note).await)
    }

    async fn set_password(
        &self,
        account: &Account,
        new_hash: &str,
        now: Timestamp,
        note: &AuditRecord,
    ) -> Result<Option<Account>, StoreError> {
        let update = sqlx::query_as(
            "UPDATE users SET password_hash = $2, version = version + 1, \
                              credentials_version = credentials_version + 1, updated_at = $3 \
             WHERE id = $1 AND version = $4 RETURNING *",
        );
        let update = update.bind(account.id).bind(new_hash).bind(now).bind(signed(account.version));
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
            "UPDATE users SET roles = $2, version = version + 1, updated_at = $3 \
             WHERE id = $1 AND version = $4 RETURNING *",
        );
        let update = update.bind(account.id).bind(roles).bind(now).bind(signed(account.version));
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
            "UPDATE users SET disabled = $2, version = version + 1, \
                              credentials_version = credentials_version + CASE WHEN $2 THEN 1 ELSE 0 END, updated_at = $3 \
             WHERE id = $1 AND version = $4 RETURNING *",
        );
        let update = update.bind(account.id).bind(disabled).bind(now).bind(signed(account.version));
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
            "UPDATE users SET version = $2, credentials_version = credentials_version + 1, updated_at = $3 \
             WHERE id = $1 AND version = $4 AND version < $2 RETURNING *",
        );
        let update = update.bind(account.id).bind(signed(version)).bind(now).bind(signed(account.version));
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
            "UPDATE users SET password_hash = $3, updated_at = $4 WHERE id = $1 AND password_hash = $2",
        )
        .bind(id)
        .bind(old_hash)
        .bind(new_hash)
        .bind(now);
        let done = in_time(update.execute(&self.pool)).await.map_err(failed)?;
        Ok(done.rows_affected() > 0)
    }

    async fn delete(&self, account: &Account, note: &AuditRecord) -> Result<bool, StoreError> {
        let deleted = in_time(async {
            let mut transaction = self.pool.begin().await?;
            let delete = sqlx::query("DELETE FROM users WHERE id = $1 AND version = $2");
            let delete = delete.bind(account.id).bind(signed(account.version));
            if delete.execute(&mut *transaction).await?.rows_affected() == 0 {
                return Ok(false);
            }
            names::leave(&mut transaction, account.id, &account.username, note.at).await?;
            audit::append(&mut transaction, note).await?;
            transaction.commit().await?;
            Ok(true)
        });
        deleted.await.map_err(failed)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let ask = sqlx::query_scalar("SELECT current_setting('transaction_read_only')");
        let read_only: String = in_time(ask.fetch_one(&self.pool)).await.map_err(failed)?;
        if read_only == "off" { Ok(()) } else { Err(failed("the database takes no writes")) }
    }

    async fn former_names(&self, after: Option<&str>, limit: u32) -> Result<Vec<FormerName>, StoreError> {
        self.former(after, limit).await
    }

    async fn free_name(&self, username: &str, note: &AuditRecord) -> Result<bool, StoreError> {
        self.free(username, note).await
    }
}
