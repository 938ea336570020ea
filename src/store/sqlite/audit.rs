//! The table `audit_log`.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use sqlx::query::{Query, QueryAs};
use sqlx::sqlite::{Sqlite, SqliteArguments};

use super::column::{self, micros};
use super::{SqliteUsers, failed, notices};
use crate::clock::Timestamp;
use crate::store::{
    AuditEntry, AuditEvent, AuditFilter, AuditLog, AuditPage, AuditPosition, AuditRecord, NoticeBounds,
    StoreError,
};

#[derive(sqlx::FromRow)]
struct AuditRow {
    id: i64,
    at: i64,
    event: String,
    user_id: Option<String>,
    username: String,
    actor: Option<String>,
    address: Option<String>,
    user_agent: Option<String>,
    request_id: Option<String>,
    detail: Option<String>,
}

impl AuditRow {
    fn entry(self) -> Result<AuditEntry, StoreError> {
        let event = AuditEvent::parse(&self.event);
        let record = AuditRecord {
            at: column::instant(self.at)?,
            event: event.ok_or_else(|| failed(format_args!("unknown event {:?}", self.event)))?,
            user_id: column::parse_optional(self.user_id.as_deref())?,
            username: self.username,
            actor: self.actor,
            address: column::parse_optional(self.address.as_deref())?,
            user_agent: self.user_agent,
            request_id: self.request_id,
            detail: self.detail,
            notices: Vec::new(),
        };
        Ok(AuditEntry { id: self.id, record })
    }
}

/// The record, and mail that tells of it, in the transaction of what it records.
pub(super) async fn append(connection: &mut SqliteConnection, record: &AuditRecord) -> sqlx::Result<()> {
    insert(record).execute(&mut *connection).await?;
    for notice in &record.notices {
        let done = notices::insert(notice, NoticeBounds::USUAL).execute(&mut *connection).await?;
        if done.rows_affected() == 0 {
            tracing::warn!(user_id = %notice.user_id, change = notice.change, "too many notices wait; owner not told");
        }
    }
    Ok(())
}

fn insert(record: &AuditRecord) -> Query<'static, Sqlite, SqliteArguments> {
    let record = record.storable();
    sqlx::query(
        "INSERT INTO audit_log (at, event, outcome, user_id, username, actor, address, user_agent, \
                                request_id, detail) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )
    .bind(micros(record.at))
    .bind(record.event.as_str())
    .bind(record.event.outcome())
    .bind(record.user_id.map(|id| id.to_string()))
    .bind(record.username)
    .bind(record.actor)
    .bind(record.address.map(|address| address.to_string()))
    .bind(record.user_agent)
    .bind(record.request_id)
    .bind(record.detail)
}

type Select = QueryAs<'static, Sqlite, AuditRow, SqliteArguments>;

/// Records with ids between the two, which don't fit themselves, in this order.
fn between(order: &'static str, filter: &AuditFilter, (above, below): (i64, i64), limit: u32) -> Select {
    sqlx::query_as(order)
        .bind(filter.user_id.map(|id| id.to_string()))
        .bind(filter.event.map(AuditEvent::as_str))
        .bind(filter.since.map(micros))
        .bind(filter.until.map(micros))
        .bind(below.min(filter.before_id.unwrap_or(i64::MAX)))
        .bind(above)
        .bind(limit)
}

macro_rules! in_order {
    ($order:literal) => {
        concat!(
            "SELECT * FROM audit_log \
             WHERE (?1 IS NULL OR user_id = ?1) AND (?2 IS NULL OR event = ?2) \
               AND (?3 IS NULL OR at >= ?3) AND (?4 IS NULL OR at < ?4) AND id < ?5 AND id > ?6 \
             ORDER BY id ",
            $order,
            " LIMIT ?7"
        )
    };
}

const NEWEST_FIRST: &str = in_order!("DESC");
const OLDEST_FIRST: &str = in_order!("ASC");

impl SqliteUsers {
    async fn read(&self, select: Select) -> Result<Vec<AuditEntry>, StoreError> {
        let rows = select.fetch_all(&self.pool).await.map_err(failed)?;
        rows.into_iter().map(AuditRow::entry).collect()
    }

    /// Only one transaction writes at a time, so ids are in the order of commits.
    async fn last_id(&self) -> Result<i64, StoreError> {
        let last = sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM audit_log");
        last.fetch_one(&self.pool).await.map_err(failed)
    }
}

#[async_trait]
impl AuditLog for SqliteUsers {
    async fn append(&self, record: &AuditRecord) -> Result<(), StoreError> {
        insert(record).execute(&self.pool).await.map_err(failed)?;
        Ok(())
    }

    async fn forget(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let delete = sqlx::query(
            "DELETE FROM audit_log WHERE id IN (SELECT id FROM audit_log WHERE at < ? ORDER BY at LIMIT ?)",
        );
        let delete = delete.bind(micros(before)).bind(limit);
        Ok(delete.execute(&self.pool).await.map_err(failed)?.rows_affected())
    }

    async fn find(&self, filter: &AuditFilter, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        self.read(between(NEWEST_FIRST, filter, (0, i64::MAX), limit)).await
    }

    async fn newest(&self, filter: &AuditFilter, limit: u32) -> Result<AuditPage, StoreError> {
        let last = self.last_id().await?;
        let entries = self.read(between(NEWEST_FIRST, filter, (0, last + 1), limit)).await?;
        Ok((entries, AuditPosition(last.to_string())))
    }

    async fn since(
        &self,
        filter: &AuditFilter,
        position: &AuditPosition,
        limit: u32,
    ) -> Result<Option<AuditPage>, StoreError> {
        let Ok(before) = position.0.parse() else { return Ok(None) };
        let last = self.last_id().await?;
        let entries = self.read(between(OLDEST_FIRST, filter, (before, last + 1), limit)).await?;
        let next = match entries.last() {
            Some(entry) if entries.len() == limit as usize => entry.id,
            _ => last,
        };
        Ok(Some((entries, AuditPosition(next.to_string()))))
    }
}
