//! The table `revocations`, and the set in memory that the request path reads instead.

use async_trait::async_trait;
use sqlx::SqliteConnection;

use super::column::{self, micros};
use super::{SqliteState, failed};
use crate::clock::Timestamp;
use crate::identity::UserId;
use crate::store::{Bearer, Revocation, Revocations, Standing, StoreError};

#[derive(sqlx::FromRow)]
pub(super) struct RevocationRow {
    pub id: i64,
    kind: String,
    subject: String,
    below: Option<i64>,
    until: i64,
}

impl RevocationRow {
    pub fn revocation(&self) -> Result<(Revocation, Timestamp), StoreError> {
        let subject = column::parse(&self.subject)?;
        let what = match (self.kind.as_str(), self.below) {
            ("token", None) => Revocation::Token(subject),
            ("session", None) => Revocation::Session(subject),
            ("user", Some(below)) => Revocation::UserBelow(subject, column::count(below)?),
            _ => return Err(failed(format_args!("revocation {} is of no known kind", self.id))),
        };
        Ok((what, column::instant(self.until)?))
    }
}

/// Within a transaction: the caller adds it to the set once that is committed.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    what: Revocation,
    until: Timestamp,
) -> sqlx::Result<()> {
    let (kind, subject, below) = match what {
        Revocation::Token(id) => ("token", id, None),
        Revocation::Session(id) => ("session", id, None),
        Revocation::UserBelow(id, version) => ("user", id, Some(column::signed(version))),
    };
    sqlx::query("INSERT INTO revocations (kind, subject, below, until) VALUES (?1, ?2, ?3, ?4)")
        .bind(kind)
        .bind(subject.to_string())
        .bind(below)
        .bind(micros(until))
        .execute(connection)
        .await?;
    Ok(())
}

/// The lowest version of the user's tokens that still counts, if older ones are revoked.
pub(super) async fn below(
    connection: &mut SqliteConnection,
    user: UserId,
    now: Timestamp,
) -> Result<Option<u64>, StoreError> {
    let select = sqlx::query_scalar::<_, Option<i64>>(
        "SELECT max(below) FROM revocations WHERE subject = ?1 AND kind = 'user' AND until > ?2",
    );
    let below = select.bind(user.to_string()).bind(micros(now)).fetch_one(connection).await;
    below.map_err(failed)?.map(column::count).transpose()
}

#[async_trait]
impl Revocations for SqliteState {
    async fn revoke(&self, what: Revocation, until: Timestamp) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await.map_err(failed)?;
        insert(&mut connection, what, until).await.map_err(failed)?;
        self.revoked.insert(what, until);
        Ok(())
    }

    async fn standing(&self, bearer: Bearer, now: Timestamp) -> Result<Standing, StoreError> {
        Ok(self.revoked.standing(bearer, now))
    }

    fn standing_at_once(&self, bearer: Bearer, now: Timestamp) -> Option<Standing> {
        Some(self.revoked.standing(bearer, now))
    }

    async fn revoked_below(&self, user: UserId, now: Timestamp) -> Result<Option<u64>, StoreError> {
        let mut connection = self.pool.acquire().await.map_err(failed)?;
        below(&mut connection, user, now).await
    }

    /// The newest ones; the follower reads all of them within a quarter of a second.
    async fn catch_up(&self) -> Result<(), StoreError> {
        let select =
            sqlx::query_as::<_, RevocationRow>("SELECT * FROM revocations ORDER BY id DESC LIMIT 1000");
        for row in select.fetch_all(&self.pool).await.map_err(failed)? {
            let (what, until) = row.revocation()?;
            self.revoked.insert(what, until);
        }
        Ok(())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        // Nobody reads the number, but it is written even if it stays the same.
        sqlx::query("PRAGMA user_version = 1").execute(&self.pool).await.map_err(failed)?;
        Ok(())
    }
}
