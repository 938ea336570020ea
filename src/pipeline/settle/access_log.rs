//! One JSON line per request, written by hand into a reused buffer: a formatter per request costs
//! more than all else in the log (docs/performance.md). Tokens, cookies and query values never
//! appear; every value from outside is escaped and bounded (class 105).

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Outcome;
use crate::config::policy::Share;
use crate::exchange::Exchange;
use crate::telemetry::access_log::AccessLog;

/// Longer paths are cut in the log.
const MAX_PATH: usize = 512;

/// Logs the request, if its kind is logged and it is one of the sample.
pub fn run(log: &AccessLog, exchange: &Exchange, outcome: &Outcome) {
    let policy = &exchange.edition.policy.log;
    let share = if exchange.refused.is_some() { policy.denied } else { policy.allowed };
    if share.takes(|| exchange.request_id.number()) {
        log.append(|line| write(line, exchange, outcome, share));
    }
}

/// Appends one line; `share` says for how many requests it stands.
pub fn write(line: &mut Vec<u8>, exchange: &Exchange, outcome: &Outcome, share: Share) {
    line.extend_from_slice(b"{\"time\":\"");
    timestamp(line, exchange.arrived_at);
    line.push(b'"');
    plain(line, ",\"request_id\":", exchange.request_id.as_str());
    line.extend_from_slice(b",\"method\":");
    string(line, outcome.method.as_str().as_bytes());
    line.extend_from_slice(b",\"path\":");
    path(line, outcome.target);
    number(line, ",\"status\":", u64::from(outcome.status));
    line.extend_from_slice(b",\"route\":");
    string(line, exchange.route_name().as_bytes());
    plain(line, ",\"decision\":", if exchange.is_denied() { "deny" } else { "allow" });
    plain(line, ",\"reason\":", exchange.reason());
    if let Some(cause) = &exchange.failure {
        line.extend_from_slice(b",\"cause\":");
        string(line, cause.as_bytes());
    }
    if let Some(code) = exchange.would_deny {
        plain(line, ",\"would_deny\":", code.as_str());
    }
    if let Some(limit) = &exchange.refused_by {
        plain(line, ",\"limit\":", &limit.name);
    }
    if let Some(refused) = &exchange.refused_token {
        line.extend_from_slice(b",\"token_issuer\":");
        string(line, refused.issuer.as_bytes());
        plain(line, ",\"token_cause\":", refused.cause.as_str());
    }
    plain(line, ",\"origin\":", origin(exchange));
    if let Some(user) = exchange.identity.as_ref().map(|identity| identity.user_id).or(exchange.limited_user)
    {
        let mut digits = uuid::Uuid::encode_buffer();
        plain(line, ",\"user_id\":", user.hyphenated().encode_lower(&mut digits));
    }
    plain(line, ",\"address\":", &exchange.client.address_text);
    if let Some(bytes) = outcome.body_bytes {
        number(line, ",\"bytes\":", bytes as u64);
    }
    number(line, ",\"duration_us\":", micros(outcome.took));
    if let Some(took) = exchange.upstream_took {
        number(line, ",\"upstream_us\":", micros(took));
    }
    if share != Share::ALL {
        number(line, ",\"sampled\":", u64::from(share.stands_for()));
    }
    line.extend_from_slice(b"}\n");
}

fn origin(exchange: &Exchange) -> &'static str {
    match exchange.cache_outcome {
        _ if exchange.answered_here => "gateway",
        Some("hit" | "stale" | "revalidated") => "cache",
        _ => "upstream",
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// `name` with its comma, quotes and colon, so that it is copied as it stands.
fn number(line: &mut Vec<u8>, name: &str, value: u64) {
    line.extend_from_slice(name.as_bytes());
    line.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// A value that needs no escaping: our own words, ids, and what the configuration let in.
fn plain(line: &mut Vec<u8>, name: &str, value: &str) {
    line.extend_from_slice(name.as_bytes());
    line.push(b'"');
    line.extend_from_slice(value.as_bytes());
    line.push(b'"');
}

fn path(line: &mut Vec<u8>, target: &[u8]) {
    let path = target.split(|&byte| byte == b'?').next().unwrap_or_default();
    string(line, &path[..path.len().min(MAX_PATH)]);
}

/// A JSON string of printable ASCII; every other byte becomes an escape.
fn string(line: &mut Vec<u8>, value: &[u8]) {
    line.push(b'"');
    let mut rest = value;
    while let Some(at) = rest.iter().position(|byte| !is_plain(*byte)) {
        line.extend_from_slice(&rest[..at]);
        match rest[at] {
            quoted @ (b'"' | b'\\') => line.extend_from_slice(&[b'\\', quoted]),
            other => line.extend_from_slice(format!("\\u{other:04x}").as_bytes()),
        }
        rest = &rest[at + 1..];
    }
    line.extend_from_slice(rest);
    line.push(b'"');
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7e) && byte != b'"' && byte != b'\\'
}

/// RFC 3339 in UTC with milliseconds; the part up to the second is formatted once per second and
/// thread.
fn timestamp(line: &mut Vec<u8>, at: DateTime<Utc>) {
    thread_local!(static SECOND: std::cell::RefCell<(i64, String)> = const { std::cell::RefCell::new((i64::MIN, String::new())) });
    SECOND.with_borrow_mut(|(second, formatted)| {
        if *second != at.timestamp() {
            *second = at.timestamp();
            *formatted = at.format("%Y-%m-%dT%H:%M:%S").to_string();
        }
        line.extend_from_slice(formatted.as_bytes());
    });
    let millis = at.timestamp_subsec_millis();
    let digit = |place: u32| b'0' + (millis / place % 10) as u8;
    line.extend_from_slice(&[b'.', digit(100), digit(10), digit(1), b'Z']);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_values_stay_within_their_string() {
        let mut line = Vec::new();
        string(&mut line, b"a\"b\\c\r\n\xff\x00{");

        let text = String::from_utf8(line).unwrap();
        let value: String = serde_json::from_str(&text).unwrap();
        assert_eq!(value, "a\"b\\c\r\n\u{ff}\0{");
    }

    #[test]
    fn the_query_is_not_logged() {
        let mut line = Vec::new();
        path(&mut line, b"/a?access_token=x");

        assert_eq!(line, b"\"/a\"");
    }

    #[test]
    fn times_are_rfc_3339() {
        let mut line = Vec::new();
        timestamp(&mut line, DateTime::from_timestamp_millis(1_000_000_000_123).unwrap());

        assert_eq!(line, b"2001-09-09T01:46:40.123Z");
    }
}
