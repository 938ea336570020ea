//! The table `lockouts`.

use std::time::Duration;

use async_trait::async_trait;

use super::column::micros;
use super::{SqliteState, failed};
use crate::clock::Timestamp;
use crate::store::{LockoutRule, Lockouts, StoreError};

#[async_trait]
impl Lockouts for SqliteState {
    async fn record_failure(
        &self,
        name: &str,
        rule: LockoutRule,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        // An expired row counts as none. A locked one is left alone, and then returns no row.
        let upsert = sqlx::query_scalar::<_, bool>(
            "INSERT INTO lockouts (name, failures, is_locked, expires_at) VALUES (?1, 1, 1 >= ?2, ?3) \
             ON CONFLICT (name) DO UPDATE SET \
                 failures = iif(expires_at > ?4, failures, 0) + 1, \
                 is_locked = iif(expires_at > ?4, failures, 0) + 1 >= ?2, \
                 expires_at = ?3 \
             WHERE NOT (is_locked AND expires_at > ?4) \
             RETURNING is_locked",
        )
        .bind(name)
        .bind(rule.failures)
        .bind(micros(now + rule.for_))
        .bind(micros(now));
        let locks = upsert.fetch_optional(&self.pool).await.map_err(failed)?;
        Ok(locks.unwrap_or(false))
    }

    async fn locked_for(&self, name: &str, now: Timestamp) -> Result<Option<Duration>, StoreError> {
        let select = sqlx::query_scalar::<_, i64>(
            "SELECT expires_at FROM lockouts WHERE name = ?1 AND is_locked AND expires_at > ?2",
        );
        let select = select.bind(name).bind(micros(now));
        let expires_at = select.fetch_optional(&self.pool).await.map_err(failed)?;
        Ok(expires_at.map(|at| Duration::from_micros((at - micros(now)).unsigned_abs())))
    }

    async fn clear(&self, name: &str) -> Result<bool, StoreError> {
        let delete = sqlx::query("DELETE FROM lockouts WHERE name = ?1").bind(name);
        let done = delete.execute(&self.pool).await.map_err(failed)?;
        Ok(done.rows_affected() > 0)
    }
}
