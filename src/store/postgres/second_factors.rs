//! The tables `second_factors` and `recovery_codes`.

use async_trait::async_trait;
use sqlx::Transaction;
use sqlx::postgres::Postgres;

use super::accounts::{UserRow, account};
use super::{PostgresUsers, audit, failed, in_time};
use crate::clock::Timestamp;
use crate::identity::UserId;
use crate::store::{Account, AuditRecord, CodeHash, SecondFactor, SecondFactors, StoreError};

async fn put_codes(
    transaction: &mut Transaction<'_, Postgres>,
    user: UserId,
    codes: &[CodeHash],
) -> sqlx::Result<()> {
    let delete = sqlx::query("DELETE FROM recovery_codes WHERE user_id = $1").bind(user);
    delete.execute(&mut **transaction).await?;
    let insert = sqlx::query("INSERT INTO recovery_codes (user_id, hash) SELECT $1, unnest($2::bytea[])");
    let codes: Vec<Vec<u8>> = codes.iter().map(|code| code.to_vec()).collect();
    insert.bind(user).bind(codes).execute(&mut **transaction).await?;
    Ok(())
}

fn signed(step: u64) -> i64 {
    i64::try_from(step).unwrap_or(i64::MAX)
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

    async fn begin(&self, user: UserId, sealed_secret: &[u8]) -> Result<bool, StoreError> {
        let upsert = sqlx::query(
            "INSERT INTO second_factors (user_id, sealed_secret, is_confirmed, last_step) \
             SELECT id, $2, false, 0 FROM users WHERE id = $1 \
             ON CONFLICT (user_id) DO UPDATE SET sealed_secret = $2 WHERE NOT second_factors.is_confirmed",
        );
        let done = in_time(upsert.bind(user).bind(sealed_secret).execute(&self.pool)).await;
        Ok(done.map_err(failed)?.rows_affected() > 0)
    }

    async fn confirm(
        &self,
        user: UserId,
        sealed_secret: &[u8],
        step: u64,
        codes: &[CodeHash],
        now: Timestamp,
        note: &AuditRecord,
    ) -> Result<Option<Account>, StoreError> {
        let confirmed = in_time(async {
            let mut transaction = self.pool.begin().await?;
            let update = sqlx::query(
                "UPDATE second_factors SET is_confirmed = true, last_step = $3 \
                 WHERE user_id = $1 AND sealed_secret = $2 AND NOT is_confirmed",
            );
            let update = update.bind(user).bind(sealed_secret).bind(signed(step));
            if update.execute(&mut *transaction).await?.rows_affected() == 0 {
                return Ok(None);
            }
            put_codes(&mut transaction, user, codes).await?;
            let update = sqlx::query_as::<_, UserRow>(
                "UPDATE users SET has_second_factor = true, updated_at = $2 WHERE id = $1 RETURNING *",
            );
            let row = update.bind(user).bind(now).fetch_optional(&mut *transaction).await?;
            audit::insert(note).execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(row)
        });
        account(confirmed.await)
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
        user: UserId,
        codes: &[CodeHash],
        note: &AuditRecord,
    ) -> Result<bool, StoreError> {
        let replaced = in_time(async {
            let mut transaction = self.pool.begin().await?;
            let lock =
                sqlx::query("SELECT 1 FROM second_factors WHERE user_id = $1 AND is_confirmed FOR UPDATE");
            if lock.bind(user).fetch_optional(&mut *transaction).await?.is_none() {
                return Ok(false);
            }
            put_codes(&mut transaction, user, codes).await?;
            audit::insert(note).execute(&mut *transaction).await?;
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
        user: UserId,
        now: Timestamp,
        note: &AuditRecord,
    ) -> Result<Option<Account>, StoreError> {
        let removed = in_time(async {
            let mut transaction = self.pool.begin().await?;
            let delete = sqlx::query("DELETE FROM second_factors WHERE user_id = $1 AND is_confirmed");
            if delete.bind(user).execute(&mut *transaction).await?.rows_affected() == 0 {
                return Ok(None);
            }
            put_codes(&mut transaction, user, &[]).await?;
            let update = sqlx::query_as::<_, UserRow>(
                "UPDATE users SET has_second_factor = false, version = version + 1, updated_at = $2 \
                 WHERE id = $1 RETURNING *",
            );
            let row = update.bind(user).bind(now).fetch_optional(&mut *transaction).await?;
            audit::insert(note).execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(row)
        });
        account(removed.await)
    }
}
