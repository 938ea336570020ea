//! The table `audit_log`.

use async_trait::async_trait;

use super::column::{self, micros};
use super::{SqliteUsers, failed};
use crate::store::{AuditEvent, AuditLog, AuditRecord, StoreError};

#[derive(sqlx::FromRow)]
struct AuditRow {
    at: i64,
    event: String,
    user_id: Option<String>,
    username: String,
    address: Option<String>,
    request_id: Option<String>,
    detail: Option<String>,
}

impl AuditRow {
    fn record(self) -> Result<AuditRecord, StoreError> {
        let event = AuditEvent::parse(&self.event);
        Ok(AuditRecord {
            at: column::instant(self.at)?,
            event: event.ok_or_else(|| failed(format_args!("unknown event {:?}", self.event)))?,
            user_id: column::parse_optional(self.user_id.as_deref())?,
            username: self.username,
            address: column::parse_optional(self.address.as_deref())?,
            request_id: self.request_id,
            detail: self.detail,
        })
    }
}

#[async_trait]
impl AuditLog for SqliteUsers {
    async fn append(&self, record: &AuditRecord) -> Result<(), StoreError> {
        let record = record.storable();
        let insert = sqlx::query(
            "INSERT INTO audit_log (at, event, user_id, username, address, request_id, detail) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )
        .bind(micros(record.at))
        .bind(record.event.as_str())
        .bind(record.user_id.map(|id| id.to_string()))
        .bind(record.username)
        .bind(record.address.map(|address| address.to_string()))
        .bind(record.request_id)
        .bind(record.detail);
        insert.execute(&self.pool).await.map_err(failed)?;
        Ok(())
    }

    async fn recent(&self, limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
        let select = sqlx::query_as::<_, AuditRow>("SELECT * FROM audit_log ORDER BY id DESC LIMIT ?1");
        let rows = select.bind(limit).fetch_all(&self.pool).await.map_err(failed)?;
        rows.into_iter().map(AuditRow::record).collect()
    }
}
