//! The table `audit_log`.

use async_trait::async_trait;
use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::{Query, QueryAs};
use uuid::Uuid;

use super::pool::Line;
use super::{PostgresUsers, failed, in_time, notices};
use crate::clock::Timestamp;
use crate::store::{
    AuditEntry, AuditEvent, AuditFilter, AuditLog, AuditPage, AuditPosition, AuditRecord, NoticeBounds,
    StoreError,
};

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
            notices: Vec::new(),
        };
        Ok(AuditEntry { id: self.id, record })
    }
}

/// The record, and mail that tells of it, in the transaction of what it records.
pub(super) async fn append(connection: &mut Line, record: &AuditRecord) -> sqlx::Result<()> {
    insert(record).execute(&mut *connection).await?;
    for notice in &record.notices {
        let done = notices::insert(notice, NoticeBounds::USUAL).execute(&mut *connection).await?;
        if done.rows_affected() == 0 {
            tracing::warn!(user_id = %notice.user_id, change = notice.change, "too many notices wait; owner not told");
        }
    }
    Ok(())
}

fn insert(record: &AuditRecord) -> Query<'static, Postgres, PgArguments> {
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

fn newest(filter: &AuditFilter, limit: u32) -> Select {
    bound(select!("AND id < $5 ORDER BY id DESC LIMIT $6"), filter)
        .bind(filter.before_id.unwrap_or(i64::MAX))
        .bind(i64::from(limit))
}

fn entries(rows: Vec<AuditRow>) -> Result<Vec<AuditEntry>, StoreError> {
    rows.into_iter().map(AuditRow::entry).collect()
}

impl PostgresUsers {
    /// The rows, and the snapshot that they were read in.
    async fn read(&self, select: Select) -> Result<(Vec<AuditEntry>, String), StoreError> {
        let read = in_time(async {
            let mut transaction =
                self.pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            let snapshot: String = sqlx::query_scalar(SNAPSHOT).fetch_one(&mut *transaction).await?;
            let rows = select.fetch_all(&mut *transaction).await?;
            transaction.commit().await?;
            Ok((rows, snapshot))
        });
        let (rows, snapshot) = read.await.map_err(failed)?;
        Ok((entries(rows)?, snapshot))
    }
}

#[async_trait]
impl AuditLog for PostgresUsers {
    async fn append(&self, record: &AuditRecord) -> Result<(), StoreError> {
        in_time(insert(record).execute(&self.pool)).await.map_err(failed)?;
        Ok(())
    }

    /// Another gateway may be removing others at the same time.
    async fn forget(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let delete = sqlx::query(
            "DELETE FROM audit_log WHERE id IN \
                 (SELECT id FROM audit_log WHERE at < $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)",
        );
        let delete = delete.bind(before).bind(i64::from(limit));
        Ok(in_time(delete.execute(&self.pool)).await.map_err(failed)?.rows_affected())
    }

    async fn find(&self, filter: &AuditFilter, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        entries(in_time(newest(filter, limit).fetch_all(&self.pool)).await.map_err(failed)?)
    }

    async fn newest(&self, filter: &AuditFilter, limit: u32) -> Result<AuditPage, StoreError> {
        let (entries, snapshot) = self.read(newest(filter, limit)).await?;
        Ok((entries, AuditPosition(snapshot)))
    }

    async fn since(
        &self,
        filter: &AuditFilter,
        position: &AuditPosition,
        limit: u32,
    ) -> Result<Option<AuditPage>, StoreError> {
        let Some(place) = Place::read(&position.0) else { return Ok(None) };
        // Visible then, and not before. Of another cluster's transactions, from a backup, nobody can say.
        let select = select!(
            "AND written_by >= pg_snapshot_xmin($5::text::pg_snapshot) \
             AND NOT pg_visible_in_snapshot(written_by, $5::text::pg_snapshot) \
             AND pg_visible_in_snapshot(written_by, coalesce($6::text::pg_snapshot, pg_current_snapshot())) \
             AND id > $7 ORDER BY id LIMIT $8"
        );
        let select = bound(select, filter)
            .bind(place.before.to_owned())
            .bind(place.then.map(str::to_owned))
            .bind(place.last)
            .bind(i64::from(limit));
        let (entries, now) = self.read(select).await?;
        let then = place.then.unwrap_or(&now);
        let next = match entries.last() {
            Some(last) if entries.len() == limit as usize => format!("{}/{then}/{}", place.before, last.id),
            _ => then.to_owned(),
        };
        Ok(Some((entries, AuditPosition(next))))
    }
}

/// Ids are given out before a transaction is committed, so a position is a snapshot: all that was visible then
/// has been read. In the middle of what has come since, `before/then/last`, it is two, and the id of the last
/// record that was read.
struct Place<'p> {
    before: &'p str,
    then: Option<&'p str>,
    last: i64,
}

impl<'p> Place<'p> {
    fn read(position: &'p str) -> Option<Self> {
        let mut parts = position.split('/');
        let before = parts.next().filter(|text| is_snapshot(text))?;
        let Some(then) = parts.next() else { return Some(Self { before, then: None, last: 0 }) };
        let last = parts.next()?.parse().ok()?;
        let is_whole = is_snapshot(then) && parts.next().is_none();
        is_whole.then_some(Self { before, then: Some(then), last })
    }
}

/// Whether Postgres takes it for a `pg_snapshot`: `xmin:xmax:` and the transactions between that hadn't ended,
/// in order.
fn is_snapshot(text: &str) -> bool {
    let number = |text: &str| text.parse::<u64>().ok().filter(|number| *number > 0);
    let mut parts = text.split(':');
    let (Some(xmin), Some(xmax), Some(running), None) =
        (parts.next().and_then(number), parts.next().and_then(number), parts.next(), parts.next())
    else {
        return false;
    };
    let mut least = xmin;
    let mut is_next = |number: u64| std::mem::replace(&mut least, number) <= number && number < xmax;
    xmin <= xmax
        && (running.is_empty() || running.split(',').all(|text| number(text).is_some_and(&mut is_next)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_postgres_would_refuse_is_no_snapshot() {
        for good in ["1:1:", "10:20:", "10:20:10,14,15", "18446744073709551615:18446744073709551615:"] {
            assert!(is_snapshot(good), "{good}");
        }
        for bad in
            ["", "1", "1:2", "0:1:", "2:1:", "10:20:9", "10:20:20", "10:20:14,12", "1:2:3:4", "a:b:", "1:2:,"]
        {
            assert!(!is_snapshot(bad), "{bad}");
        }
    }
}
