//! How our types look in SQLite's columns: ids and addresses as text, roles as JSON, instants in
//! microseconds.

use std::fmt::Display;
use std::str::FromStr;

use super::failed;
use crate::clock::Timestamp;
use crate::store::StoreError;

pub(super) fn micros(at: Timestamp) -> i64 {
    at.timestamp_micros()
}

pub(super) fn instant(micros: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_timestamp_micros(micros).ok_or_else(|| failed("an impossible date"))
}

pub(super) fn roles_json(roles: &[String]) -> String {
    serde_json::json!(roles).to_string()
}

pub(super) fn roles(json: &str) -> Result<Vec<String>, StoreError> {
    serde_json::from_str(json).map_err(failed)
}

pub(super) fn parse<T: FromStr<Err: Display>>(text: &str) -> Result<T, StoreError> {
    text.parse().map_err(failed)
}

pub(super) fn parse_optional<T: FromStr<Err: Display>>(text: Option<&str>) -> Result<Option<T>, StoreError> {
    text.map(parse).transpose()
}

/// Versions and generations: they start at 1 and go up by one.
pub(super) fn count(column: i64) -> Result<u64, StoreError> {
    u64::try_from(column).map_err(|_| failed("a count is negative"))
}

/// The reverse of [`count`]; what doesn't fit is beyond every count there is.
pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
