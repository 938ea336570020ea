//! Rows of the table `users`, and how one is changed together with what belongs to the change.

use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::QueryAs;
use uuid::Uuid;

use super::{PostgresUsers, audit, failed, in_time, names, version};
use crate::clock::Timestamp;
use crate::identity::name;
use crate::store::{Account, AuditRecord, CreateError, NewAccount, StoreError};

#[derive(sqlx::FromRow)]
pub(super) struct UserRow {
    id: Uuid,
    username: String,
    email: Option<String>,
    email_verified: bool,
    pending_email: Option<String>,
    must_confirm_email: bool,
    has_second_factor: bool,
    password_hash: String,
    roles: Vec<String>,
    version: i64,
    credentials_version: i64,
    disabled: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl UserRow {
    pub(super) fn account(self) -> Result<Account, StoreError> {
        Ok(Account {
            id: self.id,
            username: self.username,
            email: self.email,
            email_verified: self.email_verified,
            pending_email: self.pending_email,
            must_confirm_email: self.must_confirm_email,
            has_second_factor: self.has_second_factor,
            password_hash: self.password_hash,
            roles: self.roles,
            version: version(self.version)?,
            credentials: version(self.credentials_version)?,
            disabled: self.disabled,
            created_at: self.created_at,
            updated_at: self.updated_at,
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
) -> QueryAs<'static, Postgres, UserRow, PgArguments> {
    sqlx::query_as(
        "INSERT INTO users (id, username, username_key, email, email_verified, password_hash, roles, \
                            version, disabled, must_confirm_email, created_at, updated_at, has_second_factor) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8, $9, $10, $10, $11) RETURNING *",
    )
    .bind(new.id)
    .bind(new.username.clone())
    .bind(name::fold(&new.username))
    .bind(new.email.clone())
    .bind(new.email_verified)
    .bind(new.password_hash.clone())
    .bind(new.roles.clone())
    .bind(disabled)
    .bind(new.must_confirm_email)
    .bind(new.created_at)
    .bind(has_factor)
}

impl PostgresUsers {
    /// Runs the change and appends its record, both or neither; the changed row.
    pub(super) async fn change(
        &self,
        change: QueryAs<'_, Postgres, UserRow, PgArguments>,
        note: &AuditRecord,
    ) -> sqlx::Result<Option<UserRow>> {
        in_time(async {
            let mut transaction = self.pool.begin().await?;
            let row = change.fetch_optional(&mut *transaction).await?;
            if row.is_some() {
                audit::append(&mut transaction, note).await?;
                transaction.commit().await?;
            }
            Ok(row)
        })
        .await
    }

    /// The same for what gives a name to an account that had another one (`former`) or none.
    pub(super) async fn change_name(
        &self,
        change: QueryAs<'_, Postgres, UserRow, PgArguments>,
        former: Option<&str>,
        note: &AuditRecord,
    ) -> Result<Option<Account>, CreateError> {
        let changed = in_time(async {
            let mut transaction = self.pool.begin().await?;
            let Some(row) = change.fetch_optional(&mut *transaction).await? else { return Ok(Ok(None)) };
            let settled = names::settle(&mut transaction, row.id, former, &row.username, note.at).await?;
            if let Some(refused) = settled {
                return Ok(Err(refused));
            }
            audit::append(&mut transaction, note).await?;
            transaction.commit().await?;
            Ok(Ok(Some(row)))
        });
        match changed.await {
            Ok(Err(refused)) => Err(refused),
            Ok(Ok(row)) => named(Ok(row)),
            Err(error) => named(Err(error)),
        }
    }
}
