//! The table `audit_log`.

use async_trait::async_trait;
use uuid::Uuid;

use super::{PostgresUsers, failed, in_time};
use crate::clock::Timestamp;
use crate::store::{AuditEvent, AuditLog, AuditRecord, StoreError};

#[derive(sqlx::FromRow)]
struct AuditRow {
    at: Timestamp,
    event: String,
    user_id: Option<Uuid>,
    username: String,
    address: Option<String>,
    request_id: Option<String>,
    detail: Option<String>,
}

impl AuditRow {
    fn record(self) -> Result<AuditRecord, StoreError> {
        let event = AuditEvent::parse(&self.event);
        Ok(AuditRecord {
            at: self.at,
            event: event.ok_or_else(|| failed(format_args!("unknown event {:?}", self.event)))?,
            user_id: self.user_id,
            username: self.username,
            address: self.address.map(|address| address.parse().map_err(failed)).transpose()?,
            request_id: self.request_id,
            detail: self.detail,
        })
    }
}

#[async_trait]
impl AuditLog for PostgresUsers {
    async fn append(&self, record: &AuditRecord) -> Result<(), StoreError> {
        let record = record.storable();
        let insert = sqlx::query(
            "INSERT INTO audit_log (at, event, user_id, username, address, request_id, detail) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(record.at)
        .bind(record.event.as_str())
        .bind(record.user_id)
        .bind(record.username)
        .bind(record.address.map(|address| address.to_string()))
        .bind(record.request_id)
        .bind(record.detail);
        in_time(insert.execute(&self.pool)).await.map_err(failed)?;
        Ok(())
    }

    async fn recent(&self, limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
        let select = sqlx::query_as::<_, AuditRow>("SELECT * FROM audit_log ORDER BY id DESC LIMIT $1");
        let rows = in_time(select.bind(i64::from(limit)).fetch_all(&self.pool)).await.map_err(failed)?;
        rows.into_iter().map(AuditRow::record).collect()
    }
}
