//! The tables `second_factors` and `recovery_codes`.

use async_trait::async_trait;
use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::Query;

use super::pool::Transaction;
use super::users::{UserRow, account};
use super::{PostgresUsers, audit, failed, in_time, signed};
use crate::clock::Timestamp;
use crate::identity::UserId;
use crate::store::{Account, AuditRecord, CodeHash, SecondFactor, SecondFactors, StoreError};

async fn put_codes(transaction: &mut Transaction, user: UserId, codes: &[CodeHash]) -> sqlx::Result<()> {
    let delete = sqlx::query("DELETE FROM recovery_codes WHERE user_id = $1").bind(user);
    delete.execute(&mut **transaction).await?;
    let insert = sqlx::query("INSERT INTO recovery_codes (user_id, hash) SELECT $1, unnest($2::bytea[])");
    let codes: Vec<Vec<u8>> = codes.iter().map(|code| code.to_vec()).collect();
    insert.bind(user).bind(codes).execute(&mut **transaction).await?;
    Ok(())
}

/// A factor that is on from the start, of a new account.
pub(super) fn insert(user: UserId, sealed_secret: &[u8]) -> Query<'_, Postgres, PgArguments> {
    let insert = sqlx::query(
        "INSERT INTO second_factors (user_id, sealed_secret, is_confirmed, last_step, credentials_version) \
         SELECT id, $2, true, 0, credentials_version FROM users WHERE id = $1",
    );
    insert.bind(user).bind(sealed_secret)
}

/// Says whether the account has a factor, unless it has changed meanwhile; the changed row.
async fn set_factor(
    transaction: &mut Transaction,
    account: &Account,
    has_one: bool,
    now: Timestamp,
) -> sqlx::Result<Option<UserRow>> {
    let update = sqlx::query_as(
        "UPDATE users SET has_second_factor = $2, version = version + 1, \
                          credentials_version = credentials_version + 1, updated_at = $3 \
         WHERE id = $1 AND version = $4 RETURNING *",
    );
    let update = update.bind(account.id).bind(has_one).bind(now).bind(signed(account.version));
    update.fetch_optional(&mut **transaction).await
}

#[async_trait]
impl SecondFactors for PostgresUsers {
    async fn find(&self, user: UserId) -> Result<Option<SecondFactor>, StoreError> {
        let select = sqlx::query_as::<_, (Vec<u8>, bool, i64)>(
            "SELECT sealed_secret, is_confirmed, \
                    (SELECT count(*) FROM recovery_codes WHERE recovery_codes.user_id = $1) \
             FROM second_factors WHERE user_id = $1",
        );
        let row = in_time(select.bind(user).fetch_optional(&self.pool)).await.map_err(failed)?;
        Ok(row.map(|(sealed_secret, is_confirmed, codes)| SecondFactor {
            sealed_secret,
            is_confirmed,
            recovery_codes: codes.unsigned_abs(),
        }))
    }

    async fn begin(&self, account: &Account, sealed_secret: &[u8]) -> Result<bool, StoreError> {
        let upsert = sqlx::query(
            "INSERT INTO second_factors (user_id, sealed_secret, is_confirmed, last_step, credentials_version) \
             SELECT id, $2, false, 0, credentials_version FROM users WHERE id = $1 AND version = $3 \
             ON CONFLICT (user_id) DO UPDATE \
             SET sealed_secret = $2, credentials_version = excluded.credentials_version \
             WHERE NOT second_factors.is_confirmed",
        );
        let upsert = upsert.bind(account.id).bind(sealed_secret).bind(signed(account.version));
        let done = in_time(upsert.execute(&self.pool)).await;
        Ok(done.map_err(failed)?.rows_affected() > 0)
    }

    async fn confirm(
        &self,
        account: &Account,
        sealed_secret: &[u8],
        step: u64,
        codes: &[CodeHash],
        now: Timestamp,
        note: &AuditRecord,
    ) -> Result<Option<Account>, StoreError> {
        let confirmed = in_time(async {
            let mut transaction = self.pool.begin().await?;
            let Some(row) = set_factor(&mut transaction, account, true, now).await? else {
                return Ok(None);
            };
            let update = sqlx::query(
                "UPDATE second_factors SET is_confirmed = true, last_step = $3 \
                 WHERE user_id = $1 AND sealed_secret = $2 AND NOT is_confirmed \
                   AND credentials_version = $4",
            );
            let update = update.bind(account.id).bind(sealed_secret).bind(signed(step));
            let update = update.bind(signed(account.credentials));
            if update.execute(&mut *transaction).await?.rows_affected() == 0 {
                return Ok(None);
            }
            put_codes(&mut transaction, account.id, codes).await?;
            audit::append(&mut transaction, note).await?;
            transaction.commit().await?;
            Ok(Some(row))
        });
        self::account(confirmed.await)
    }

    async fn use_step(&self, user: UserId, step: u64) -> Result<bool, StoreError> {
        let update = sqlx::query(
            "UPDATE second_factors SET last_step = $2 \
             WHERE user_id = $1 AND is_confirmed AND last_step < $2",
        );
        let done = in_time(update.bind(user).bind(signed(step)).execute(&self.pool)).await;
        Ok(done.map_err(failed)?.rows_affected() > 0)
    }

    async fn use_code(&self, user: UserId, code: &CodeHash) -> Result<bool, StoreError> {
        let delete = sqlx::query("DELETE FROM recovery_codes WHERE user_id = $1 AND hash = $2");
        let done = in_time(delete.bind(user).bind(code.as_slice()).execute(&self.pool)).await;
        Ok(done.map_err(failed)?.rows_affected() > 0)
    }

    async fn replace_codes(
        &self,
        account: &Account,
        codes: &[CodeHash],
        note: &AuditRecord,
    ) -> Result<bool, StoreError> {
        let replaced = in_time(async {
            let mut transaction = self.pool.begin().await?;
            let lock = sqlx::query(
                "SELECT 1 FROM second_factors f, users u \
                 WHERE u.id = $1 AND u.version = $2 AND f.user_id = u.id AND f.is_confirmed FOR UPDATE",
            );
            let lock = lock.bind(account.id).bind(signed(account.version));
            if lock.fetch_optional(&mut *transaction).await?.is_none() {
                return Ok(false);
            }
            put_codes(&mut transaction, account.id, codes).await?;
            audit::append(&mut transaction, note).await?;
            transaction.commit().await?;
            Ok(true)
        });
        replaced.await.map_err(failed)
    }

    async fn reseal(&self, user: UserId, old: &[u8], new: &[u8]) -> Result<(), StoreError> {
        let update = sqlx::query(
            "UPDATE second_factors SET sealed_secret = $3 WHERE user_id = $1 AND sealed_secret = $2",
        );
        in_time(update.bind(user).bind(old).bind(new).execute(&self.pool)).await.map_err(failed)?;
        Ok(())
    }

    async fn remove(
        &self,
        account: &Account,
        now: Timestamp,
        note: &AuditRecord,
    ) -> Result<Option<Account>, StoreError> {
        let removed = in_time(async {
            let mut transaction = self.pool.begin().await?;
            let Some(row) = set_factor(&mut transaction, account, false, now).await? else {
                return Ok(None);
            };
            let delete = sqlx::query("DELETE FROM second_factors WHERE user_id = $1 AND is_confirmed");
            if delete.bind(account.id).execute(&mut *transaction).await?.rows_affected() == 0 {
                return Ok(None);
            }
            put_codes(&mut transaction, account.id, &[]).await?;
            audit::append(&mut transaction, note).await?;
            transaction.commit().await?;
            Ok(Some(row))
        });
        self::account(removed.await)
    }
}
