//! The connections. Behind a pooler that gives a connection to each transaction (pgbouncer's transaction mode),
//! a statement that was prepared by name is on another connection than the one that calls it, or is another
//! gateway's. There, every statement is prepared without a name and within a transaction.

use std::sync::{Arc, OnceLock};

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use parking_lot::Mutex;
use sqlx::postgres::{PgArguments, PgPool, PgQueryResult, PgRow, PgStatement, PgTypeInfo, Postgres};
use sqlx::{Describe, Either, Execute, Executor, SqlStr};

use super::prepare::Found;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Step = sqlx::Result<Either<PgQueryResult, PgRow>>;

#[derive(Debug, Clone)]
pub(super) struct Pool {
    pub connections: PgPool,
    pub state: Arc<State>,
}

/// Whether the database could be prepared; until then nothing is asked of it.
#[derive(Debug, Default)]
pub(super) struct State {
    pub found: OnceLock<Found>,
    /// What it waits for.
    pub cause: Mutex<String>,
}

impl Pool {
    pub async fn begin(&self) -> sqlx::Result<Transaction> {
        self.begin_with("BEGIN").await
    }

    pub async fn begin_with(&self, statement: &'static str) -> sqlx::Result<Transaction> {
        let is_pooled = self.found()?.is_pooled;
        let inner = self.connections.begin_with(statement).await?;
        Ok(Transaction(Line { inner, is_pooled }))
    }

    fn found(&self) -> sqlx::Result<Found> {
        let found = self.state.found.get().copied();
        found.ok_or_else(|| sqlx::Error::Io(std::io::Error::other(self.state.cause.lock().clone())))
    }
}

/// In a transaction of its own if need be.
impl<'p> Executor<'p> for &'p Pool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Step>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        match self.found() {
            Err(error) => stream::once(std::future::ready(Err(error))).boxed(),
            Ok(Found { is_pooled: false }) => self.connections.fetch_many(query),
            Ok(Found { is_pooled: true }) => stream::once(in_transaction(self, query))
                .map_ok(|steps| stream::iter(steps.into_iter().map(Ok)))
                .try_flatten()
                .boxed(),
        }
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        if matches!(self.found(), Ok(Found { is_pooled: false })) {
            return self.connections.fetch_optional(query);
        }
        let steps = self.fetch_many(query);
        Box::pin(async { Ok(first_row(steps.try_collect().await?)) })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'p: 'e,
    {
        self.connections.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<Postgres>>>
    where
        'p: 'e,
    {
        self.connections.describe(sql)
    }
}

async fn in_transaction<'q, E: 'q + Execute<'q, Postgres>>(
    pool: &Pool,
    query: E,
) -> sqlx::Result<Vec<Either<PgQueryResult, PgRow>>> {
    let mut transaction = pool.begin().await?;
    let steps = transaction.fetch_many(query).try_collect().await?;
    transaction.commit().await?;
    Ok(steps)
}

fn first_row(steps: Vec<Either<PgQueryResult, PgRow>>) -> Option<PgRow> {
    steps.into_iter().find_map(|step| match step {
        Either::Left(_) => None,
        Either::Right(row) => Some(row),
    })
}

/// Undone when dropped.
pub(super) struct Transaction(Line);

/// What a statement of a transaction is run on.
#[derive(Debug)]
pub(super) struct Line {
    inner: sqlx::Transaction<'static, Postgres>,
    is_pooled: bool,
}

impl Transaction {
    pub async fn commit(self) -> sqlx::Result<()> {
        self.0.inner.commit().await
    }
}

impl std::ops::Deref for Transaction {
    type Target = Line;

    fn deref(&self) -> &Line {
        &self.0
    }
}

impl std::ops::DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Line {
        &mut self.0
    }
}

impl<'l> Executor<'l> for &'l mut Line {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Step>
    where
        'l: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        match self.is_pooled {
            true => self.inner.fetch_many(Unnamed(query)),
            false => self.inner.fetch_many(query),
        }
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'l: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        match self.is_pooled {
            true => self.inner.fetch_optional(Unnamed(query)),
            false => self.inner.fetch_optional(query),
        }
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'l: 'e,
    {
        self.inner.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<Postgres>>>
    where
        'l: 'e,
    {
        self.inner.describe(sql)
    }
}

/// A statement that is prepared for this once.
struct Unnamed<E>(E);

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for Unnamed<E> {
    fn sql(self) -> SqlStr {
        self.0.sql()
    }

    fn statement(&self) -> Option<&PgStatement> {
        None
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxError> {
        self.0.take_arguments()
    }

    fn persistent(&self) -> bool {
        false
    }
}
