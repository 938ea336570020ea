//! A first connection: whether there is a pooler between, and why there is none.

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection, Row, raw_sql};

use super::prepare::Found;
use super::{ACQUIRE_TIMEOUT, failed};
use crate::store::StoreError;

/// A setting of the session that only a server itself takes from a client.
const MARK: (&str, &str) = ("portcullis.direct", "on");

/// Why the database can't be used.
#[derive(Debug)]
pub(super) struct ConnectError {
    pub error: StoreError,
    /// Waiting may help.
    pub is_temporary: bool,
}

impl ConnectError {
    pub fn of(doing: &str, error: sqlx::Error) -> Self {
        let is_temporary = is_temporary(&error);
        Self { error: failed(format_args!("{doing}: {error}{}", remedy(&error))), is_temporary }
    }

    pub fn final_one(problem: String) -> Self {
        Self { error: failed(problem), is_temporary: false }
    }
}

/// A pooler refuses the mark or leaves it out, and the server behind it never hears of it.
pub(super) async fn connect(options: &PgConnectOptions) -> Result<(PgConnection, Found), ConnectError> {
    let doing = format!("connecting to {}:{}", options.get_host(), options.get_port());
    let marked = options.clone().options([MARK]);
    let mut connection = match open(&marked).await {
        Ok(connection) => connection,
        Err(error) if may_refuse_the_mark(&error) => match open(options).await {
            Ok(connection) => return Ok((connection, Found { is_pooled: true })),
            Err(error) => return Err(ConnectError::of(&doing, error)),
        },
        Err(error) => return Err(ConnectError::of(&doing, error)),
    };
    let mark = raw_sql("SELECT current_setting('portcullis.direct', true)").fetch_one(&mut connection).await;
    let mark = mark.and_then(|row| row.try_get::<Option<String>, _>(0));
    let mark = mark.map_err(|error| ConnectError::of(&doing, error))?;
    Ok((connection, Found { is_pooled: mark.as_deref() != Some(MARK.1) }))
}

async fn open(options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    match tokio::time::timeout(ACQUIRE_TIMEOUT, options.connect()).await {
        Ok(outcome) => outcome,
        Err(elapsed) => Err(sqlx::Error::Io(elapsed.into())),
    }
}

fn code(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

/// A server that refuses the login, or has no such database, would do so again.
fn may_refuse_the_mark(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| !["28", "3D", "57", "53"].iter().any(|class| code.starts_with(class)))
}

/// Not when the login, the database, a right, TLS or the URL is at fault.
fn is_temporary(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Configuration(_) | sqlx::Error::Tls(_) => false,
        _ => code(error)
            .is_none_or(|code| !["28", "3D", "42", "0A"].iter().any(|class| code.starts_with(class))),
    }
}

fn remedy(error: &sqlx::Error) -> &'static str {
    match code(error).as_deref() {
        Some("42501") => {
            " (the role may not change the schema: run `portcullis migrate` as one that may, and let this one \
             read _sqlx_migrations and use the tables)"
        }
        Some("25006") => " (the database takes no writes)",
        _ => "",
    }
}
