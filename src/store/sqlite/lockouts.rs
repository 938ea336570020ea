//! The tables `failed_attempts` and `known_networks`.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::SqliteConnection;

use super::column::{self, micros};
use super::{SqliteState, failed};
use crate::clock::Timestamp;
use crate::config::policy::LockoutRule;
use crate::identity::UserId;
use crate::store::StoreError;
use crate::store::lockouts::{
    ABANDONED, Begun, Lane, Lockout, Lockouts, Locks, MOST_ADDRESSES, MOST_IN_A_ROW, Outcome, Remembered,
    Source, Target,
};

/// The row of the failures in a row, beside those of the lanes.
const IN_A_ROW: &str = "in a row";
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A row of `failed_attempts`.
#[derive(Default, sqlx::FromRow)]
struct Counter {
    failures: u32,
    /// Attempts under way.
    pending: u32,
    is_locked: bool,
    /// The last attempt.
    begun_at: i64,
    expires_at: i64,
}

impl Counter {
    fn is_forgotten(&self) -> bool {
        self.failures + self.pending == 0
    }

    /// An attempt that nobody settled counts as a failure after a while.
    fn give_up_abandoned(&mut self, rule: LockoutRule, now: Timestamp) {
        let abandoned = i64::try_from(ABANDONED.as_micros()).unwrap_or(i64::MAX);
        if self.pending > 0 && micros(now) - self.begun_at > abandoned {
            self.failures = rule.failures.min(self.failures + self.pending);
            self.pending = 0;
            self.is_locked = self.failures >= rule.failures;
        }
    }

    fn fail(&mut self, rule: LockoutRule, now: Timestamp) -> Option<Locks> {
        self.failures += 1;
        self.expires_at = self.expires_at.max(micros(now + rule.for_));
        let locks = self.failures >= rule.failures && !self.is_locked;
        self.is_locked |= locks;
        locks.then_some(Locks::Lane)
    }
}

#[async_trait]
impl Lockouts for SqliteState {
    async fn begin(
        &self,
        target: Target<'_>,
        source: &Source,
        rule: LockoutRule,
        now: Timestamp,
    ) -> Result<Begun, StoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        let begun = begin(&mut transaction, target, source, rule, now).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(begun)
    }

    async fn settle(
        &self,
        target: Target<'_>,
        lane: &Lane,
        outcome: Outcome<'_>,
        rule: LockoutRule,
        now: Timestamp,
    ) -> Result<Option<Locks>, StoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        let locks = settle(&mut transaction, target, lane, outcome, rule, now).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(locks)
    }

    async fn lockouts(&self, accounts: &[UserId], now: Timestamp) -> Result<Vec<Lockout>, StoreError> {
        let mut connection = self.pool.acquire().await.map_err(failed)?;
        let mut lockouts = Vec::with_capacity(accounts.len());
        for account in accounts {
            lockouts.push(lockout(&mut connection, *account, now).await?);
        }
        Ok(lockouts)
    }

    async fn clear(&self, account: UserId) -> Result<bool, StoreError> {
        let delete = sqlx::query("DELETE FROM failed_attempts WHERE target = ?1").bind(account.to_string());
        Ok(delete.execute(&self.pool).await.map_err(failed)?.rows_affected() > 0)
    }

    async fn clear_in_a_row(&self, account: UserId) -> Result<(), StoreError> {
        let delete = sqlx::query("DELETE FROM failed_attempts WHERE target = ?1 AND lane = ?2");
        let delete = delete.bind(account.to_string()).bind(IN_A_ROW);
        delete.execute(&self.pool).await.map_err(failed)?;
        Ok(())
    }
}

async fn begin(
    connection: &mut SqliteConnection,
    target: Target<'_>,
    source: &Source,
    rule: LockoutRule,
    now: Timestamp,
) -> sqlx::Result<Begun> {
    let name = target.to_string();
    let lane = lane_of(connection, &name, source, now).await?;
    let mut in_a_row = read(connection, &name, IN_A_ROW, now).await?;
    if in_a_row.failures >= MOST_IN_A_ROW {
        return Ok(Begun::UntilReset(lane));
    }
    let lane_name = lane.to_string();
    let mut counter = read(connection, &name, &lane_name, now).await?;
    counter.give_up_abandoned(rule, now);
    let left = Duration::from_micros((counter.expires_at - micros(now)).max(0).unsigned_abs());
    let is_free = counter.failures + counter.pending < rule.failures;
    if is_free && !counter.is_locked {
        counter.pending += 1;
        counter.begun_at = micros(now);
        counter.expires_at = counter.expires_at.max(micros(now + rule.for_));
        in_a_row.failures += 1;
        in_a_row.expires_at = in_a_row_until(target, &counter, now);
        write(connection, &name, IN_A_ROW, &in_a_row).await?;
    }
    write(connection, &name, &lane_name, &counter).await?;
    Ok(match (counter.is_locked, is_free) {
        (true, _) => Begun::Locked(lane, left),
        (false, true) => Begun::Counted(lane),
        (false, false) => Begun::Busy(lane, left),
    })
}

async fn settle(
    connection: &mut SqliteConnection,
    target: Target<'_>,
    lane: &Lane,
    outcome: Outcome<'_>,
    rule: LockoutRule,
    now: Timestamp,
) -> sqlx::Result<Option<Locks>> {
    let (name, lane_name) = (target.to_string(), lane.to_string());
    let mut in_a_row = read(connection, &name, IN_A_ROW, now).await?;
    let mut counter = read(connection, &name, &lane_name, now).await?;
    // Nothing is left of attempts that were cleared, or that took longer than the counter lives.
    let was_counted = counter.pending > 0;
    counter.pending = counter.pending.saturating_sub(1);
    let mut locks = None;
    match outcome {
        Outcome::Wrong => {
            locks = counter.fail(rule, now);
            in_a_row.failures += u32::from(!was_counted);
            in_a_row.expires_at = in_a_row_until(target, &counter, now);
            if in_a_row.failures >= MOST_IN_A_ROW && !in_a_row.is_locked {
                in_a_row.is_locked = true;
                locks = Some(Locks::All);
            }
        }
        Outcome::GivenBack if !was_counted => return Ok(None),
        Outcome::GivenBack => in_a_row.failures = in_a_row.failures.saturating_sub(1),
        Outcome::Right { remember } => {
            in_a_row = Counter::default();
            // A success doesn't lift what strangers have come to: it may be the owner's first one from there.
            if !lane.is_strangers() {
                counter.failures = 0;
                counter.is_locked = false;
            }
            if let Some(remembered) = remember {
                remember_network(connection, &name, remembered).await?;
            }
        }
    }
    write(connection, &name, IN_A_ROW, &in_a_row).await?;
    write(connection, &name, &lane_name, &counter).await?;
    Ok(locks)
}

/// Of an account, the failures in a row stay until a success or a reset, or until a year has gone by without an attempt.
fn in_a_row_until(target: Target<'_>, counter: &Counter, now: Timestamp) -> i64 {
    match target.is_account() {
        true => counter.expires_at.max(micros(now + YEAR)),
        false => counter.expires_at,
    }
}

async fn lane_of(
    connection: &mut SqliteConnection,
    target: &str,
    source: &Source,
    now: Timestamp,
) -> sqlx::Result<Lane> {
    if let Some(device) = source.device {
        return Ok(Lane::Device(device));
    }
    let known = sqlx::query_scalar::<_, i64>(
        "SELECT 1 FROM known_networks WHERE target = ?1 AND network = ?2 AND known_until > ?3",
    );
    let known = known.bind(target).bind(&source.network).bind(micros(now));
    Ok(match known.fetch_optional(connection).await? {
        Some(_) => Lane::Network(source.network.clone()),
        None => Lane::Strangers,
    })
}

/// Of nothing, when it is forgotten.
async fn read(
    connection: &mut SqliteConnection,
    target: &str,
    lane: &str,
    now: Timestamp,
) -> sqlx::Result<Counter> {
    let select = sqlx::query_as::<_, Counter>(
        "SELECT failures, pending, is_locked, begun_at, expires_at FROM failed_attempts \
         WHERE target = ?1 AND lane = ?2 AND expires_at > ?3",
    );
    let select = select.bind(target).bind(lane).bind(micros(now));
    Ok(select.fetch_optional(connection).await?.unwrap_or_default())
}

async fn write(
    connection: &mut SqliteConnection,
    target: &str,
    lane: &str,
    counter: &Counter,
) -> sqlx::Result<()> {
    if counter.is_forgotten() {
        let delete = sqlx::query("DELETE FROM failed_attempts WHERE target = ?1 AND lane = ?2");
        delete.bind(target).bind(lane).execute(connection).await?;
        return Ok(());
    }
    sqlx::query(
        "INSERT OR REPLACE INTO failed_attempts \
             (target, lane, failures, pending, is_locked, begun_at, expires_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )
    .bind(target)
    .bind(lane)
    .bind(counter.failures)
    .bind(counter.pending)
    .bind(counter.is_locked)
    .bind(counter.begun_at)
    .bind(counter.expires_at)
    .execute(connection)
    .await?;
    Ok(())
}

async fn remember_network(
    connection: &mut SqliteConnection,
    target: &str,
    remembered: Remembered<'_>,
) -> sqlx::Result<()> {
    sqlx::query("INSERT OR REPLACE INTO known_networks (target, network, known_until) VALUES (?1, ?2, ?3)")
        .bind(target)
        .bind(remembered.network)
        .bind(micros(remembered.until))
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "DELETE FROM known_networks WHERE target = ?1 AND network NOT IN \
             (SELECT network FROM known_networks WHERE target = ?1 ORDER BY known_until DESC, network LIMIT ?2)",
    )
    .bind(target)
    .bind(MOST_ADDRESSES)
    .execute(connection)
    .await?;
    Ok(())
}

async fn lockout(
    connection: &mut SqliteConnection,
    account: UserId,
    now: Timestamp,
) -> Result<Lockout, StoreError> {
    let select = sqlx::query_as::<_, (String, u32, bool, i64)>(
        "SELECT lane, failures, is_locked, expires_at FROM failed_attempts WHERE target = ?1 AND expires_at > ?2",
    );
    let select = select.bind(account.to_string()).bind(micros(now));
    let mut lockout = Lockout::default();
    for (lane, failures, is_locked, expires_at) in select.fetch_all(connection).await.map_err(failed)? {
        if lane == IN_A_ROW {
            lockout.all = failures >= MOST_IN_A_ROW;
        } else if is_locked {
            let whose =
                if lane == Lane::Strangers.to_string() { &mut lockout.strangers } else { &mut lockout.owner };
            *whose = (*whose).max(Some(column::instant(expires_at)?));
        }
    }
    Ok(lockout)
}
