//! The table `api_keys`.

use async_trait::async_trait;
use uuid::Uuid;

use super::column::{self, micros};
use super::{SqliteUsers, audit, failed};
use crate::clock::Timestamp;
use crate::identity::UserId;
use crate::store::{Account, Accounts, ApiKey, ApiKeys, AuditRecord, KeyCreation, StoreError};

#[derive(sqlx::FromRow)]
struct KeyRow {
    id: String,
    user_id: String,
    name: String,
    secret_hash: Vec<u8>,
    roles: String,
    created_at: i64,
    expires_at: Option<i64>,
    last_used_at: Option<i64>,
}

/// A key with the name of its account.
#[derive(sqlx::FromRow)]
struct NamedRow {
    #[sqlx(flatten)]
    key: KeyRow,
    username: String,
}

impl KeyRow {
    fn key(self) -> Result<ApiKey, StoreError> {
        Ok(ApiKey {
            id: column::parse(&self.id)?,
            user_id: column::parse(&self.user_id)?,
            name: self.name,
            secret_hash: self.secret_hash,
            roles: column::roles(&self.roles)?,
            created_at: column::instant(self.created_at)?,
            expires_at: self.expires_at.map(column::instant).transpose()?,
            last_used_at: self.last_used_at.map(column::instant).transpose()?,
        })
    }
}

#[async_trait]
impl ApiKeys for SqliteUsers {
    async fn create(
        &self,
        owner: &Account,
        key: &ApiKey,
        most: u32,
        note: &AuditRecord,
    ) -> Result<KeyCreation, StoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        let same = sqlx::query("SELECT 1 FROM users WHERE id = ?1 AND version = ?2");
        let same = same.bind(owner.id.to_string()).bind(column::signed(owner.version));
        if same.fetch_optional(&mut *transaction).await.map_err(failed)?.is_none() {
            return Ok(KeyCreation::AccountChanged);
        }
        let insert = sqlx::query(
            "INSERT INTO api_keys (id, user_id, name, secret_hash, roles, created_at, expires_at) \
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 \
             WHERE (SELECT count(*) FROM api_keys WHERE user_id = ?2) < ?8",
        )
        .bind(key.id.to_string())
        .bind(owner.id.to_string())
        .bind(&key.name)
        .bind(&key.secret_hash)
        .bind(column::roles_json(&key.roles))
        .bind(micros(key.created_at))
        .bind(key.expires_at.map(micros))
        .bind(most);
        if insert.execute(&mut *transaction).await.map_err(failed)?.rows_affected() == 0 {
            return Ok(KeyCreation::TooMany);
        }
        audit::append(&mut transaction, note).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(KeyCreation::Created)
    }

    async fn list(&self, user: UserId) -> Result<Vec<ApiKey>, StoreError> {
        let select =
            sqlx::query_as::<_, KeyRow>("SELECT * FROM api_keys WHERE user_id = ?1 ORDER BY created_at, id");
        let rows = select.bind(user.to_string()).fetch_all(&self.pool).await.map_err(failed)?;
        rows.into_iter().map(KeyRow::key).collect()
    }

    async fn find(&self, id: Uuid) -> Result<Option<(ApiKey, Account)>, StoreError> {
        let select = sqlx::query_as::<_, KeyRow>("SELECT * FROM api_keys WHERE id = ?1");
        let row = select.bind(id.to_string()).fetch_optional(&self.pool).await.map_err(failed)?;
        let Some(key) = row.map(KeyRow::key).transpose()? else { return Ok(None) };
        // After the key, so that the account is never older than the key's being there.
        let account = self.find_by_id(key.user_id).await?;
        Ok(account.map(|account| (key, account)))
    }

    async fn note_use(&self, id: Uuid, now: Timestamp) -> Result<(), StoreError> {
        let update = sqlx::query(
            "UPDATE api_keys SET last_used_at = max(coalesce(last_used_at, ?2), ?2) WHERE id = ?1",
        );
        update.bind(id.to_string()).bind(micros(now)).execute(&self.pool).await.map_err(failed)?;
        Ok(())
    }

    async fn list_all(&self, after: Option<Uuid>, limit: u32) -> Result<Vec<(ApiKey, String)>, StoreError> {
        let select = sqlx::query_as::<_, NamedRow>(
            "SELECT api_keys.*, users.username FROM api_keys JOIN users ON users.id = api_keys.user_id \
             WHERE api_keys.id > ?1 ORDER BY api_keys.id LIMIT ?2",
        );
        let select = select.bind(after.unwrap_or_default().to_string()).bind(limit);
        let rows = select.fetch_all(&self.pool).await.map_err(failed)?;
        rows.into_iter().map(|row| Ok((row.key.key()?, row.username))).collect()
    }

    async fn delete_all(&self, user: UserId, note: &AuditRecord) -> Result<Vec<Uuid>, StoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        let delete = sqlx::query_scalar("DELETE FROM api_keys WHERE user_id = ?1 RETURNING id");
        let deleted = delete.bind(user.to_string()).fetch_all(&mut *transaction).await;
        let deleted: Vec<String> = deleted.map_err(failed)?;
        if !deleted.is_empty() {
            audit::append(&mut transaction, note).await.map_err(failed)?;
            transaction.commit().await.map_err(failed)?;
        }
        deleted.iter().map(|id| column::parse(id)).collect()
    }

    async fn delete(&self, user: UserId, id: Uuid, note: &AuditRecord) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        let delete = sqlx::query("DELETE FROM api_keys WHERE id = ?1 AND user_id = ?2");
        let delete = delete.bind(id.to_string()).bind(user.to_string());
        let existed = delete.execute(&mut *transaction).await.map_err(failed)?.rows_affected() > 0;
        if existed {
            audit::append(&mut transaction, note).await.map_err(failed)?;
            transaction.commit().await.map_err(failed)?;
        }
        Ok(existed)
    }
}
