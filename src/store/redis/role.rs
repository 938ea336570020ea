//! Whether a server is the primary: after a failover, a name leads to another server while old connections
//! still lead to the one that was demoted.

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisError, ServerErrorKind, Value, from_redis_value};

/// Whether a server answers like one that isn't the primary any more, or not yet.
pub(super) fn is_demotion(error: &RedisError) -> bool {
    use ServerErrorKind::{BusyLoading, MasterDown, ReadOnly};
    matches!(error.kind(), ErrorKind::Server(ReadOnly | MasterDown | BusyLoading))
        // A primary that was cut off from its replicas.
        || error.code() == Some("NOREPLICAS")
        // Before Redis 7 a script's error holds that of its command.
        || error.detail().is_some_and(|detail| detail.contains("-READONLY "))
}

/// A server that doesn't tell its role, as behind some proxies, is taken for a primary.
pub(super) async fn is_replica(connection: &mut MultiplexedConnection) -> bool {
    let role = redis::cmd("ROLE").query_async::<Vec<Value>>(connection).await;
    let role = role.ok().and_then(|role| role.into_iter().next());
    let role: Option<String> = role.and_then(|role| from_redis_value(role).ok());
    role.as_deref() == Some("slave")
}

pub(super) fn demoted() -> RedisError {
    RedisError::from((ErrorKind::Client, "READONLY: the server is a replica, not the primary"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> RedisError {
        let line = format!("-{text}\r\n");
        let parsed = redis::parse_redis_value(line.as_bytes()).and_then(Value::extract_error);
        parsed.expect_err("an error is an error")
    }

    #[test]
    fn a_demoted_server_is_known_by_its_errors() {
        for error in [
            "READONLY You can't write against a read only replica.",
            "READONLY You can't write against a read only replica. script: 1, on @user_script:1.",
            "ERR Error running script (call to f_1): @user_script:1: -READONLY You can't write against it.",
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            "LOADING Redis is loading the dataset in memory",
            "NOREPLICAS Not enough good replicas to write.",
        ] {
            assert!(is_demotion(&answer(error)), "{error}");
        }
        for error in ["OOM command not allowed", "NOSCRIPT No matching script", "ERR READONLY is a word"] {
            assert!(!is_demotion(&answer(error)), "{error}");
        }
        assert!(demoted().to_string().contains("READONLY"));
    }
}
