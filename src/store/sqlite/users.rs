//! Rows of the table `users`, and how one is changed together with what belongs to the change.

use sqlx::query::QueryAs;
use sqlx::sqlite::{Sqlite, SqliteArguments};

use super::column::{self, micros};
use super::{SqliteUsers, audit, failed, names};
use crate::identity::name;
use crate::store::{Account, AuditRecord, CreateError, NewAccount, StoreError};

#[derive(sqlx::FromRow)]
pub(super) struct UserRow {
    id: String,
    username: String,
    email: Option<String>,
    email_verified: bool,
    pending_email: Option<String>,
    must_confirm_email: bool,
    has_second_factor: bool,
    password_hash: String,
    roles: String,
    version: i64,
    credentials_version: i64,
    disabled: bool,
    created_at: i64,
    updated_at: i64,
}

impl UserRow {
    pub(super) fn account(self) -> Result<Account, StoreError> {
        Ok(Account {
            id: column::parse(&self.id)?,
            username: self.username,
            email: self.email,
            email_verified: self.email_verified,
            pending_email: self.pending_email,
            must_confirm_email: self.must_confirm_email,
            has_second_factor: self.has_second_factor,
            password_hash: self.password_hash,
            roles: column::roles(&self.roles)?,
            version: column::count(self.version)?,
            credentials: column::count(self.credentials_version)?,
            disabled: self.disabled,
            created_at: column::instant(self.created_at)?,
            updated_at: column::instant(self.updated_at)?,
        })
    }
}

pub(super) fn account(row: sqlx::Result<Option<UserRow>>) -> Result<Option<Account>, StoreError> {
    row.map_err(failed)?.map(UserRow::account).transpose()
}

/// The same for what sets a name.
pub(super) fn named(row: sqlx::Result<Option<UserRow>>) -> Result<Option<Account>, CreateError> {
    match row {
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Err(CreateError::UsernameTaken),
        row => Ok(account(row)?),
    }
}

pub(super) fn insert(
    new: &NewAccount,
    disabled: bool,
    has_factor: bool,
) -> QueryAs<'static, Sqlite, UserRow, SqliteArguments> {
    sqlx::query_as(
        "INSERT INTO users (id, username, username_key, email, email_verified, password_hash, roles, \
                            version, disabled, must_confirm_email, created_at, updated_at, has_second_factor) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1, ?8, ?9, ?10, ?10, ?11) RETURNING *",
    )
    .bind(new.id.to_string())
    .bind(new.username.clone())
    .bind(name::fold(&new.username))
    .bind(new.email.clone())
    .bind(new.email_verified)
    .bind(new.password_hash.clone())
    .bind(column::roles_json(&new.roles))
    .bind(disabled)
    .bind(new.must_confirm_email)
    .bind(micros(new.created_at))
    .bind(has_factor)
}

impl SqliteUsers {
    /// Runs the change and appends its record, both or neither; the changed row. Takes the write lock
    /// at once: one taken later could fail half-way.
    pub(super) async fn change(
        &self,
        change: QueryAs<'_, Sqlite, UserRow, SqliteArguments>,
        note: &AuditRecord,
    ) -> sqlx::Result<Option<UserRow>> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let row = change.fetch_optional(&mut *transaction).await?;
        if row.is_some() {
            audit::append(&mut transaction, note).await?;
            transaction.commit().await?;
        }
        Ok(row)
    }

    /// The same for what gives a name to an account that had another one (`former`) or none.
    pub(super) async fn change_name(
        &self,
        change: QueryAs<'_, Sqlite, UserRow, SqliteArguments>,
        former: Option<&str>,
        note: &AuditRecord,
    ) -> Result<Option<Account>, CreateError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        let row = change.fetch_optional(&mut *transaction).await;
        let Some(changed) = named(row)? else { return Ok(None) };
        let (id, username) = (changed.id, &changed.username);
        let settled = names::settle(&mut transaction, id, former, username, note.at).await;
        if let Some(refused) = settled.map_err(failed)? {
            return Err(refused);
        }
        audit::append(&mut transaction, note).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(Some(changed))
    }
}
