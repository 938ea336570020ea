//! The table `signing_keys`.

use async_trait::async_trait;

use super::{PostgresUsers, failed, in_time};
use crate::store::{GeneratedKeys, StoreError};

#[async_trait]
impl GeneratedKeys for PostgresUsers {
    async fn get_or_create(&self, candidate: &str) -> Result<String, StoreError> {
        // Waits for whoever is inserting; the next statement then sees what they inserted.
        let insert = sqlx::query(
            "INSERT INTO signing_keys (name, secret) VALUES ('access', $1) ON CONFLICT DO NOTHING",
        );
        in_time(insert.bind(candidate).execute(&self.pool)).await.map_err(failed)?;
        let select = sqlx::query_scalar("SELECT secret FROM signing_keys WHERE name = 'access'");
        in_time(select.fetch_one(&self.pool)).await.map_err(failed)
    }
    async fn replace(&self, old: &str, new: &str) -> Result<bool, StoreError> {
        let update = sqlx::query("UPDATE signing_keys SET secret = $2 WHERE name = 'access' AND secret = $1");
        let update = update.bind(old).bind(new);
        let done = in_time(update.execute(&self.pool)).await.map_err(failed)?;
        Ok(done.rows_affected() > 0)
    }
}
