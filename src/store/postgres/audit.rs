//! The table `audit_log`.

use async_trait::async_trait;
use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::{Query, QueryAs};
use uuid::Uuid;

use super::{PostgresUsers, failed, in_time};
use crate::clock::Timestamp;
use crate::store::{AuditEntry, AuditEvent, AuditFilter, AuditLog, AuditPosition, AuditRecord, StoreError};

/// Which transactions have ended.
const SNAPSHOT: &str = "SELECT pg_current_snapshot()::text";

#[derive(sqlx::FromRow)]
struct AuditRow {
    id: i64,
    at: Timestamp,
    event: String,
    user_id: Option<Uuid>,
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
            at: self.at,
            event: event.ok_or_else(|| failed(format_args!("unknown event {:?}", self.event)))?,
            user_id: self.user_id,
            username: self.username,
            actor: self.actor,
            address: self.address.map(|address| address.parse().map_err(failed)).transpose()?,
            user_agent: self.user_agent,
            request_id: self.request_id,
            detail: self.detail,
        };
        Ok(AuditEntry { id: self.id, record })
    }
}

/// For a transaction of its own, or for that of what it records.
pub(super) fn insert(record: &AuditRecord) -> Query<'static, Postgres, PgArguments> {
    let record = record.storable();
    sqlx::query(
        "INSERT INTO audit_log (at, event, outcome, user_id, username, actor, address, user_agent, \
                                request_id, detail) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(record.at)
    .bind(record.event.as_str())
    .bind(record.event.outcome())
    .bind(record.user_id)
    .bind(record.username)
    .bind(record.actor)
    .bind(record.address.map(|address| address.to_string()))
    .bind(record.user_agent)
    .bind(record.request_id)
    .bind(record.detail)
}

/// All that [`AuditRow`] reads.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, at, event, user_id, username, actor, address, user_agent, request_id, detail FROM audit_log \
             WHERE ($1::uuid IS NULL OR user_id = $1) AND ($2::text IS NULL OR event = $2) \
               AND ($3::timestamptz IS NULL OR at >= $3) AND ($4::timestamptz IS NULL OR at < $4) ",
            $rest
        )
    };
}

type Select = QueryAs<'static, Postgres, AuditRow, PgArguments>;

fn bound(select: &'static str, filter: &AuditFilter) -> Select {
    sqlx::query_as(select)
        .bind(filter.user_id)
        .bind(filter.event.map(AuditEvent::as_str))
        .bind(filter.since)
        .bind(filter.until)
}

#[async_trait]
impl AuditLog for PostgresUsers {
    async fn append(&self, record: &AuditRecord) -> Result<(), StoreError> {
        in_time(insert(record).execute(&self.pool)).await.map_err(failed)?;
        Ok(())
    }

    async fn find(&self, filter: &AuditFilter, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        let select = bound(select!("AND id < $5 AND id > $6 ORDER BY id DESC LIMIT $7"), filter)
            .bind(filter.before_id.unwrap_or(i64::MAX))
            .bind(filter.after_id.unwrap_or(0))
            .bind(i64::from(limit));
        let rows = in_time(select.fetch_all(&self.pool)).await.map_err(failed)?;
        rows.into_iter().map(AuditRow::entry).collect()
    }

    async fn end(&self) -> Result<AuditPosition, StoreError> {
        let snapshot = sqlx::query_scalar(SNAPSHOT).fetch_one(&self.pool);
        Ok(AuditPosition(in_time(snapshot).await.map_err(failed)?))
    }

    async fn since(
        &self,
        filter: &AuditFilter,
        AuditPosition(position): &AuditPosition,
    ) -> Result<(Vec<AuditEntry>, AuditPosition), StoreError> {
        // Visible now, and not then. Of another cluster's transactions, from a backup, nobody can say.
        let select = select!(
            "AND written_by >= pg_snapshot_xmin($5::text::pg_snapshot) \
             AND NOT pg_visible_in_snapshot(written_by, $5::text::pg_snapshot) \
             AND pg_visible_in_snapshot(written_by, pg_current_snapshot()) ORDER BY id"
        );
        let read = in_time(async {
            // Both questions by one snapshot.
            let mut transaction =
                self.pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            let now: String = sqlx::query_scalar(SNAPSHOT).fetch_one(&mut *transaction).await?;
            let rows = bound(select, filter).bind(position).fetch_all(&mut *transaction).await?;
            transaction.commit().await?;
            Ok((rows, now))
        });
        let (rows, now) = read.await.map_err(failed)?;
        let entries = rows.into_iter().map(AuditRow::entry).collect::<Result<_, _>>()?;
        Ok((entries, AuditPosition(now)))
    }
}
