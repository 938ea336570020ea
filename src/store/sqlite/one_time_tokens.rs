//! The table `one_time_tokens`.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::query::{Query, QueryAs};
use sqlx::sqlite::{Sqlite, SqliteArguments};

use super::column::{self, micros};
use super::users::{UserRow, account};
use super::{SqliteUsers, audit, failed};
use crate::clock::Timestamp;
use crate::store::{Account, AuditRecord, OneTimeToken, OneTimeTokens, Purpose, StoreError};

/// Of a token `t` with its account `u`: hash, purpose and now are the first three parameters. A password is reset by
/// a confirmed address only.
macro_rules! is_good {
    () => {
        "t.hash = ?1 AND t.purpose = ?2 AND t.used_at IS NULL AND t.expires_at > ?3 \
         AND u.id = t.user_id AND NOT u.disabled AND (t.version IS NULL OR t.version = u.version) \
         AND (t.address IS NULL OR t.address = lower(u.email) \
                AND (u.email_verified OR t.purpose <> 'reset_password') \
              OR t.address = lower(u.pending_email) AND t.purpose = 'verify_email')"
    };
}

fn redeem(hash: &[u8], purpose: Purpose, now: Timestamp) -> Query<'static, Sqlite, SqliteArguments> {
    let redeem = concat!("UPDATE one_time_tokens AS t SET used_at = ?3 FROM users AS u WHERE ", is_good!());
    sqlx::query(redeem).bind(hash.to_vec()).bind(purpose.as_str()).bind(micros(now))
}

impl SqliteUsers {
    /// Uses the token up, makes the change of its account, and appends the record.
    async fn redeem_for(
        &self,
        redeem: Query<'_, Sqlite, SqliteArguments>,
        change: QueryAs<'_, Sqlite, UserRow, SqliteArguments>,
        note: &AuditRecord,
    ) -> Result<Option<Account>, StoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        if redeem.execute(&mut *transaction).await.map_err(failed)?.rows_affected() == 0 {
            return Ok(None);
        }
        let changed = account(change.fetch_optional(&mut *transaction).await)?;
        if changed.is_some() {
            audit::append(&mut transaction, note).await.map_err(failed)?;
            transaction.commit().await.map_err(failed)?;
        }
        Ok(changed)
    }
}

#[async_trait]
impl OneTimeTokens for SqliteUsers {
    async fn keep(&self, token: &OneTimeToken, most: (u32, Duration)) -> Result<bool, StoreError> {
        let (most, window) = most;
        let since = micros(token.created_at - window);
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        let tidy = sqlx::query(
            "DELETE FROM one_time_tokens WHERE user_id = ?1 AND created_at <= ?2 AND expires_at <= ?3",
        );
        let tidy = tidy.bind(token.user_id.to_string()).bind(since).bind(micros(token.created_at));
        tidy.execute(&mut *transaction).await.map_err(failed)?;
        let insert = sqlx::query(
            "INSERT INTO one_time_tokens (hash, purpose, user_id, address, version, created_at, expires_at) \
             SELECT ?1, ?2, id, ?4, ?5, ?6, ?7 FROM users AS own WHERE id = ?3 AND (?4 IS NULL OR ( \
                 (SELECT count(*) FROM one_time_tokens \
                  WHERE user_id = ?3 AND purpose = ?2 AND created_at > ?8) < ?9 \
                 AND (?2 = 'reset_password' OR \
                      (SELECT count(*) FROM one_time_tokens AS t JOIN users AS u ON u.id = t.user_id \
                       WHERE t.address = ?4 AND t.purpose = ?2 AND t.created_at > ?8 \
                           AND (u.email_verified AND u.email IS NOT NULL) \
                               = (own.email_verified AND own.email IS NOT NULL)) < ?9)))",
        )
        .bind(token.hash.to_vec())
        .bind(token.purpose.as_str())
        .bind(token.user_id.to_string())
        .bind(&token.address)
        .bind(token.version.map(column::signed))
        .bind(micros(token.created_at))
        .bind(micros(token.expires_at))
        .bind(since)
        .bind(most);
        let is_kept = insert.execute(&mut *transaction).await.map_err(failed)?.rows_affected() > 0;
        transaction.commit().await.map_err(failed)?;
        Ok(is_kept)
    }

    async fn owner(
        &self,
        hash: &[u8],
        purpose: Purpose,
        now: Timestamp,
    ) -> Result<Option<Account>, StoreError> {
        let select = concat!("SELECT u.* FROM one_time_tokens AS t, users AS u WHERE ", is_good!());
        let select = sqlx::query_as(select).bind(hash).bind(purpose.as_str()).bind(micros(now));
        account(select.fetch_optional(&self.pool).await)
    }

    async fn redeem(&self, hash: &[u8], purpose: Purpose, now: Timestamp) -> Result<bool, StoreError> {
        let done = redeem(hash, purpose, now).execute(&self.pool).await.map_err(failed)?;
        Ok(done.rows_affected() > 0)
    }

    async fn verify_email(
        &self,
        hash: &[u8],
        now: Timestamp,
        note: &AuditRecord,
    ) -> Result<Option<Account>, StoreError> {
        let update = sqlx::query_as(
            "UPDATE users AS u SET \
                 version = u.version + CASE WHEN t.address = lower(pending_email) THEN 1 ELSE 0 END, \
                 email = CASE WHEN t.address = lower(pending_email) THEN pending_email ELSE email END, \
                 pending_email = CASE WHEN t.address <> lower(pending_email) THEN pending_email END, \
                 email_verified = 1, must_confirm_email = 0, updated_at = ?2 \
             FROM one_time_tokens AS t \
             WHERE t.hash = ?1 AND u.id = t.user_id \
                 AND (t.address = lower(email) OR t.address = lower(pending_email)) \
             RETURNING *",
        );
        let update = update.bind(hash).bind(micros(now));
        self.redeem_for(redeem(hash, Purpose::VerifyEmail, now), update, note).await
    }

    async fn reset_password(
        &self,
        hash: &[u8],
        password_hash: &str,
        now: Timestamp,
        note: &AuditRecord,
    ) -> Result<Option<Account>, StoreError> {
        let update = sqlx::query_as(
            "UPDATE users SET password_hash = ?3, version = users.version + 1, \
                              credentials_version = credentials_version + 1, \
                              updated_at = ?2 \
             FROM one_time_tokens AS t WHERE t.hash = ?1 AND users.id = t.user_id AND NOT users.disabled \
                              AND (t.version IS NULL OR t.version = users.version) RETURNING *",
        );
        let update = update.bind(hash).bind(micros(now)).bind(password_hash);
        self.redeem_for(redeem(hash, Purpose::ResetPassword, now), update, note).await
    }
}
