//! Brings revocations that other processes write (the command line) into this one's set, and
//! deletes what has expired. A thread of its own: it must not depend on which runtime opened the
//! store, nor compete with requests.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::column::micros;
use super::revocations::RevocationRow;
use super::{database, failed};
use crate::clock;
use crate::store::StoreError;
use crate::store::memory::RevokedSet;

const POLL_EVERY: Duration = Duration::from_millis(250);
const PRUNE_EVERY: Duration = Duration::from_secs(60);

/// Where the follower stands in the table.
struct Follower {
    connection: SqliteConnection,
    /// `PRAGMA data_version`: changes when another connection has committed something.
    data_version: Option<i64>,
    last_id: i64,
    pruned_at: Instant,
}

/// Fills the set, then keeps it up to date for as long as somebody else holds it.
pub(super) async fn start(path: &Path, revoked: &Arc<RevokedSet>) -> Result<(), StoreError> {
    let connection = database::options(path).connect().await.map_err(failed)?;
    let mut follower = Follower { connection, data_version: None, last_id: 0, pruned_at: Instant::now() };
    follower.read_new(revoked).await?;

    let revoked = Arc::downgrade(revoked);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let run = move || runtime.block_on(follower.follow(revoked));
    std::thread::Builder::new().name("revocations".into()).spawn(run).map_err(failed)?;
    Ok(())
}

impl Follower {
    async fn follow(mut self, revoked: Weak<RevokedSet>) {
        let mut ticks = tokio::time::interval(POLL_EVERY);
        loop {
            ticks.tick().await;
            let Some(revoked) = revoked.upgrade() else { break };
            if let Err(error) = self.step(&revoked).await {
                tracing::warn!(%error, "cannot follow revocations; will try again");
            }
        }
        if let Err(error) = self.connection.close().await {
            tracing::warn!(%error, "closing the revocations' connection");
        }
    }

    async fn step(&mut self, revoked: &RevokedSet) -> Result<(), StoreError> {
        self.read_new(revoked).await?;
        if self.pruned_at.elapsed() >= PRUNE_EVERY {
            self.pruned_at = Instant::now();
            revoked.prune(clock::now());
            self.delete_expired().await?;
        }
        Ok(())
    }

    async fn read_new(&mut self, revoked: &RevokedSet) -> Result<(), StoreError> {
        // Asked before reading: what is committed in between is read now or next time.
        let version = sqlx::query_scalar::<_, i64>("PRAGMA data_version");
        let version = version.fetch_one(&mut self.connection).await.map_err(failed)?;
        if self.data_version == Some(version) {
            return Ok(());
        }
        let select = sqlx::query_as::<_, RevocationRow>(
            "SELECT * FROM revocations WHERE id > ?1 AND until > ?2 ORDER BY id",
        );
        let select = select.bind(self.last_id).bind(micros(clock::now()));
        for row in select.fetch_all(&mut self.connection).await.map_err(failed)? {
            let (what, until) = row.revocation()?;
            revoked.insert(what, until);
            self.last_id = row.id;
        }
        self.data_version = Some(version);
        Ok(())
    }

    async fn delete_expired(&mut self) -> Result<(), StoreError> {
        for delete in [
            "DELETE FROM revocations WHERE until <= ?1",
            "DELETE FROM sessions WHERE idle_until <= ?1",
            "DELETE FROM lockouts WHERE expires_at <= ?1",
            "DELETE FROM failed_attempts WHERE expires_at <= ?1",
            "DELETE FROM known_networks WHERE known_until <= ?1",
        ] {
            let delete = sqlx::query(delete).bind(micros(clock::now()));
            delete.execute(&mut self.connection).await.map_err(failed)?;
        }
        Ok(())
    }
}
