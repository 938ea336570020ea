//! The table `api_keys`.

use async_trait::async_trait;
use uuid::Uuid;

use super::{PostgresUsers, audit, failed, in_time, signed};
use crate::clock::Timestamp;
use crate::identity::UserId;
use crate::store::{Account, Accounts, ApiKey, ApiKeys, AuditRecord, KeyCreation, StoreError};

#[derive(sqlx::FromRow)]
struct KeyRow {
    id: Uuid,
    user_id: Uuid,
    name: String,
    secret_hash: Vec<u8>,
    roles: Vec<String>,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
}

/// A key with the name of its account.
#[derive(sqlx::FromRow)]
struct NamedRow {
    #[sqlx(flatten)]
    key: KeyRow,
    username: String,
}

impl From<KeyRow> for ApiKey {
    fn from(row: KeyRow) -> Self {
        let KeyRow { id, user_id, name, secret_hash, roles, created_at, expires_at, last_used_at } = row;
        Self { id, user_id, name, secret_hash, roles, created_at, expires_at, last_used_at }
    }
}

#[async_trait]
impl ApiKeys for PostgresUsers {
    async fn create(
        &self,
        owner: &Account,
        key: &ApiKey,
        most: u32,
        note: &AuditRecord,
    ) -> Result<KeyCreation, StoreError> {
        let created = in_time(async {
            let mut transaction = self.pool.begin().await?;
            // The account's row, so that of many at once each sees the keys of those before it.
            let lock = sqlx::query("SELECT 1 FROM users WHERE id = $1 AND version = $2 FOR UPDATE");
            let lock = lock.bind(owner.id).bind(signed(owner.version));
            if lock.fetch_optional(&mut *transaction).await?.is_none() {
                return Ok(KeyCreation::AccountChanged);
            }
            let insert = sqlx::query(
                "INSERT INTO api_keys (id, user_id, name, secret_hash, roles, created_at, expires_at) \
                 SELECT $1, $2, $3, $4, $5, $6, $7 \
                 WHERE (SELECT count(*) FROM api_keys WHERE user_id = $2) < $8",
            )
            .bind(key.id)
            .bind(owner.id)
            .bind(&key.name)
            .bind(&key.secret_hash)
            .bind(&key.roles)
            .bind(key.created_at)
            .bind(key.expires_at)
            .bind(i64::from(most));
            if insert.execute(&mut *transaction).await?.rows_affected() == 0 {
                return Ok(KeyCreation::TooMany);
            }
            audit::append(&mut transaction, note).await?;
            transaction.commit().await?;
            Ok(KeyCreation::Created)
        });
        created.await.map_err(failed)
    }

    async fn list(&self, user: UserId) -> Result<Vec<ApiKey>, StoreError> {
        let select =
            sqlx::query_as::<_, KeyRow>("SELECT * FROM api_keys WHERE user_id = $1 ORDER BY created_at, id");
        let rows = in_time(select.bind(user).fetch_all(&self.pool)).await.map_err(failed)?;
        Ok(rows.into_iter().map(ApiKey::from).collect())
    }

    async fn find(&self, id: Uuid) -> Result<Option<(ApiKey, Account)>, StoreError> {
        let select = sqlx::query_as::<_, KeyRow>("SELECT * FROM api_keys WHERE id = $1");
        let row = in_time(select.bind(id).fetch_optional(&self.pool)).await.map_err(failed)?;
        let Some(key) = row.map(ApiKey::from) else { return Ok(None) };
        // After the key, so that the account is never older than the key's being there.
        let account = self.find_by_id(key.user_id).await?;
        Ok(account.map(|account| (key, account)))
    }

    async fn note_use(&self, id: Uuid, now: Timestamp) -> Result<(), StoreError> {
        let update =
            sqlx::query("UPDATE api_keys SET last_used_at = greatest(last_used_at, $2) WHERE id = $1");
        in_time(update.bind(id).bind(now).execute(&self.pool)).await.map_err(failed)?;
        Ok(())
    }

    async fn list_all(&self, after: Option<Uuid>, limit: u32) -> Result<Vec<(ApiKey, String)>, StoreError> {
        let select = sqlx::query_as::<_, NamedRow>(
            "SELECT api_keys.*, users.username FROM api_keys JOIN users ON users.id = api_keys.user_id \
             WHERE api_keys.id > $1 ORDER BY api_keys.id LIMIT $2",
        );
        let select = select.bind(after.unwrap_or_default()).bind(i64::from(limit));
        let rows = in_time(select.fetch_all(&self.pool)).await.map_err(failed)?;
        Ok(rows.into_iter().map(|row| (ApiKey::from(row.key), row.username)).collect())
    }

    async fn delete_all(&self, user: UserId, note: &AuditRecord) -> Result<Vec<Uuid>, StoreError> {
        let deleted = in_time(async {
            let mut transaction = self.pool.begin().await?;
            let delete = sqlx::query_scalar("DELETE FROM api_keys WHERE user_id = $1 RETURNING id");
            let deleted: Vec<Uuid> = delete.bind(user).fetch_all(&mut *transaction).await?;
            if !deleted.is_empty() {
                audit::append(&mut transaction, note).await?;
                transaction.commit().await?;
            }
            Ok(deleted)
        });
        deleted.await.map_err(failed)
    }

    async fn delete(&self, user: UserId, id: Uuid, note: &AuditRecord) -> Result<bool, StoreError> {
        let deleted = in_time(async {
            let mut transaction = self.pool.begin().await?;
            let delete =
                sqlx::query("DELETE FROM api_keys WHERE id = $1 AND user_id = $2").bind(id).bind(user);
            let existed = delete.execute(&mut *transaction).await?.rows_affected() > 0;
            if existed {
                audit::append(&mut transaction, note).await?;
                transaction.commit().await?;
            }
            Ok(existed)
        });
        deleted.await.map_err(failed)
    }
}
