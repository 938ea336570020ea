//! The table `signing_keys`.

use async_trait::async_trait;

use super::{SqliteUsers, failed};
use crate::store::{GeneratedKeys, StoreError};

#[async_trait]
impl GeneratedKeys for SqliteUsers {
    async fn get_or_create(&self, candidate: &str) -> Result<String, StoreError> {
        let insert = sqlx::query(
            "INSERT INTO signing_keys (name, secret) VALUES ('access', ?1) ON CONFLICT DO NOTHING",
        );
        insert.bind(candidate).execute(&self.pool).await.map_err(failed)?;
        let select = sqlx::query_scalar("SELECT secret FROM signing_keys WHERE name = 'access'");
        select.fetch_one(&self.pool).await.map_err(failed)
    }
    async fn replace(&self, old: &str, new: &str) -> Result<bool, StoreError> {
        let update = sqlx::query("UPDATE signing_keys SET secret = ?2 WHERE name = 'access' AND secret = ?1");
        let update = update.bind(old).bind(new);
        let done = update.execute(&self.pool).await.map_err(failed)?;
        Ok(done.rows_affected() > 0)
    }
}
