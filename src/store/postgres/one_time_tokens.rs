//! The table `one_time_tokens`.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::{Query, QueryAs};

use super::users::{UserRow, account};
use super::{PostgresUsers, audit, failed, in_time};
use crate::clock::Timestamp;
use crate::store::{Account, AuditRecord, OneTimeToken, OneTimeTokens, Purpose, StoreError};

/// Of a token `t` with its account `u`: hash, purpose and now are the first three parameters. A password is reset by
/// a confirmed address only.
macro_rules! is_good {
    () => {
        "t.hash = $1 AND t.purpose = $2 AND t.used_at IS NULL AND t.expires_at > $3 \
         AND u.id = t.user_id AND NOT u.disabled AND (t.version IS NULL OR t.version = u.version) \
         AND (t.address IS NULL OR t.address = lower(u.email COLLATE \"C\") \
                AND (u.email_verified OR t.purpose <> 'reset_password') \
              OR t.address = lower(u.pending_email COLLATE \"C\") AND t.purpose = 'verify_email')"
    };
}

fn redeem(hash: &[u8], purpose: Purpose, now: Timestamp) -> Query<'static, Postgres, PgArguments> {
    let redeem = concat!("UPDATE one_time_tokens t SET used_at = $3 FROM users u WHERE ", is_good!());
    sqlx::query(redeem).bind(hash.to_vec()).bind(purpose.as_str()).bind(now)
}

impl PostgresUsers {
    /// Uses the token up, makes the change of its account, and appends the record.
    async fn redeem_for(
        &self,
        redeem: Query<'_, Postgres, PgArguments>,
        change: QueryAs<'_, Postgres, UserRow, PgArguments>,
        note: &AuditRecord,
    ) -> Result<Option<Account>, StoreError> {
        let changed = in_time(async {
            let mut transaction = self.pool.begin().await?;
            if redeem.execute(&mut *transaction).await?.rows_affected() == 0 {
                return Ok(None);
            }
            let row = change.fetch_optional(&mut *transaction).await?;
            if row.is_some() {
                audit::append(&mut transaction, note).await?;
                transaction.commit().await?;
            }
            Ok(row)
        });
        account(changed.await)
    }
}

#[async_trait]
impl OneTimeTokens for PostgresUsers {
    async fn keep(&self, token: &OneTimeToken, most: (u32, Duration)) -> Result<bool, StoreError> {
        let (most, window) = most;
        let since = token.created_at - window;
        let kept = in_time(async {
            let mut transaction = self.pool.begin().await?;
            // Of many at once, each sees the tokens of those before it.
            let lock = sqlx::query("SELECT 1 FROM users WHERE id = $1 FOR UPDATE").bind(token.user_id);
            if lock.fetch_optional(&mut *transaction).await?.is_none() {
                return Ok(false);
            }
            if let Some(address) = &token.address {
                let lock = sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))");
                lock.bind(address).execute(&mut *transaction).await?;
            }
            let tidy = sqlx::query(
                "DELETE FROM one_time_tokens WHERE user_id = $1 AND created_at <= $2 AND expires_at <= $3",
            );
            tidy.bind(token.user_id).bind(since).bind(token.created_at).execute(&mut *transaction).await?;
            let insert = sqlx::query(
                "INSERT INTO one_time_tokens \
                     (hash, purpose, user_id, address, version, created_at, expires_at) \
                 SELECT $1, $2, $3, $4, $5, $6, $7 WHERE $4 IS NULL OR ( \
                     (SELECT count(*) FROM one_time_tokens \
                      WHERE user_id = $3 AND purpose = $2 AND created_at > $8) < $9 \
                     AND ($2 = 'reset_password' OR \
                          (SELECT count(*) FROM one_time_tokens t JOIN users u ON u.id = t.user_id \
                           WHERE t.address = $4 AND t.purpose = $2 AND t.created_at > $8 \
                               AND (u.email_verified AND u.email IS NOT NULL) \
                                   = (SELECT email_verified AND email IS NOT NULL FROM users WHERE id = $3)) < $9))",
            )
            .bind(token.hash.to_vec())
            .bind(token.purpose.as_str())
            .bind(token.user_id)
            .bind(&token.address)
            .bind(token.version.map(|version| i64::try_from(version).unwrap_or(i64::MAX)))
            .bind(token.created_at)
            .bind(token.expires_at)
            .bind(since)
            .bind(i64::from(most));
            let is_kept = insert.execute(&mut *transaction).await?.rows_affected() > 0;
            transaction.commit().await?;
            Ok(is_kept)
        });
        kept.await.map_err(failed)
    }

    async fn owner(
        &self,
        hash: &[u8],
        purpose: Purpose,
        now: Timestamp,
    ) -> Result<Option<Account>, StoreError> {
        let select = concat!("SELECT u.* FROM one_time_tokens t, users u WHERE ", is_good!());
        let select = sqlx::query_as(select).bind(hash).bind(purpose.as_str()).bind(now);
        account(in_time(select.fetch_optional(&self.pool)).await)
    }

    async fn redeem(&self, hash: &[u8], purpose: Purpose, now: Timestamp) -> Result<bool, StoreError> {
        let done = in_time(redeem(hash, purpose, now).execute(&self.pool)).await.map_err(failed)?;
        Ok(done.rows_affected() > 0)
    }

    async fn verify_email(
        &self,
        hash: &[u8],
        now: Timestamp,
        note: &AuditRecord,
    ) -> Result<Option<Account>, StoreError> {
        let update = sqlx::query_as(
            r#"UPDATE users u SET
                   version = u.version + CASE WHEN t.address = lower(pending_email COLLATE "C") THEN 1 ELSE 0 END,
                   email = CASE WHEN t.address = lower(pending_email COLLATE "C") THEN pending_email ELSE email END,
                   pending_email =
                       CASE WHEN t.address <> lower(pending_email COLLATE "C") THEN pending_email END,
                   email_verified = true, must_confirm_email = false, updated_at = $2
               FROM one_time_tokens t
               WHERE t.hash = $1 AND u.id = t.user_id
                   AND (t.address = lower(email COLLATE "C") OR t.address = lower(pending_email COLLATE "C"))
               RETURNING u.*"#,
        );
        self.redeem_for(redeem(hash, Purpose::VerifyEmail, now), update.bind(hash).bind(now), note).await
    }

    async fn reset_password(
        &self,
        hash: &[u8],
        password_hash: &str,
        now: Timestamp,
        note: &AuditRecord,
    ) -> Result<Option<Account>, StoreError> {
        let update = sqlx::query_as(
            "UPDATE users SET password_hash = $3, version = users.version + 1, \
                              credentials_version = credentials_version + 1, \
                              updated_at = $2 \
             FROM one_time_tokens t WHERE t.hash = $1 AND users.id = t.user_id AND NOT users.disabled \
                              AND (t.version IS NULL OR t.version = users.version) RETURNING users.*",
        );
        let update = update.bind(hash).bind(now).bind(password_hash);
        self.redeem_for(redeem(hash, Purpose::ResetPassword, now), update, note).await
    }
}
