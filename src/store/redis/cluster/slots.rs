//! Which slot a key has, and which server serves it.

use redis::{Arg, Cmd, RedisResult, Value, from_redis_value};

use crate::config::policy::RedisAddress;

/// How many slots a cluster has; a power of two.
const SLOTS: u16 = 16_384;

/// The slots from `start` to `end`, both included, the server that serves them, and its replicas.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Range {
    pub start: u16,
    pub end: u16,
    pub primary: RedisAddress,
    pub replicas: Vec<RedisAddress>,
}

/// The slot of a key: of what stands between its first `{` and the next `}`, if there is anything,
/// and otherwise of all of it.
pub(in crate::store::redis) fn slot_of_key(key: &[u8]) -> u16 {
    let tag = key.iter().position(|&byte| byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let close = rest.iter().position(|&byte| byte == b'}')?;
        (close > 0).then(|| &rest[..close])
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// The slot of the command's first key; `None` without one.
pub(super) fn slot_of(command: &Cmd) -> Option<u16> {
    let mut arguments = command.args_iter();
    let key = match text(arguments.next()?)? {
        b"EVALSHA" => {
            let count = arguments.nth(1)?;
            (text(count)? != b"0").then(|| arguments.next())??
        }
        _ => arguments.next()?,
    };
    Some(slot_of_key(text(key)?))
}

fn text(argument: Arg<&[u8]>) -> Option<&[u8]> {
    match argument {
        Arg::Simple(text) => Some(text),
        _ => None,
    }
}

/// The CRC of XMODEM, as the cluster's specification has it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

/// What `CLUSTER SLOTS` answered. A server that doesn't know its own address leaves it out: then it
/// is where it was asked.
pub(super) fn parse(answer: Value, asked: Option<&RedisAddress>) -> RedisResult<Vec<Range>> {
    let entries: Vec<Vec<Value>> = from_redis_value(answer)?;
    let ranges = entries.into_iter().filter_map(|entry| range(entry, asked));
    let mut ranges: Vec<Range> = ranges.collect();
    ranges.sort_unstable_by_key(|range| range.start);
    Ok(ranges)
}

fn range(entry: Vec<Value>, asked: Option<&RedisAddress>) -> Option<Range> {
    let mut entry = entry.into_iter();
    let mut slot = || number(entry.next()?).filter(|slot| *slot < SLOTS);
    let (start, end) = (slot()?, slot()?);
    let primary = address(entry.next()?, asked)?;
    let mut replicas: Vec<RedisAddress> = entry.filter_map(|node| address(node, asked)).collect();
    replicas.sort_unstable_by(|a, b| (&a.host, a.port).cmp(&(&b.host, b.port)));
    Some(Range { start, end, primary, replicas })
}

fn address(node: Value, asked: Option<&RedisAddress>) -> Option<RedisAddress> {
    let mut node = from_redis_value::<Vec<Value>>(node).ok()?.into_iter();
    let host: Option<String> = from_redis_value(node.next()?).ok()?;
    let port = number(node.next()?)?;
    let host = match host.as_deref() {
        None | Some("" | "?") => asked?.host.clone(),
        Some(host) => host.to_owned(),
    };
    Some(RedisAddress { host, port })
}

/// The library would cut off what doesn't fit.
fn number(value: Value) -> Option<u16> {
    u16::try_from(from_redis_value::<i64>(value).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot_of_key(b"{user1000}.following"), slot_of_key(b"{user1000}.followers"));
        assert_eq!(slot_of_key(b"foo{}{bar}"), crc16(b"foo{}{bar}") % SLOTS);
        assert_eq!(slot_of_key(b"foo{{bar}}zap"), crc16(b"{bar") % SLOTS);
        assert_eq!(slot_of_key(b"foo{bar}{zap}"), crc16(b"bar") % SLOTS);
        assert_eq!(slot_of_key(b"{unclosed"), crc16(b"{unclosed") % SLOTS);
    }

    #[test]
    fn a_commands_slot_is_that_of_its_first_key() {
        let slot = |words: &[&str]| {
            let mut command = Cmd::new();
            command.arg(words);
            slot_of(&command)
        };

        assert_eq!(slot(&["GET", "a"]), Some(slot_of_key(b"a")));
        assert_eq!(slot(&["EVALSHA", "hash", "1", "a", "b"]), Some(slot_of_key(b"a")));
        assert_eq!(slot(&["EVALSHA", "hash", "0", "b"]), None);
        assert_eq!(slot(&["PING"]), None);
    }

    #[test]
    fn a_map_of_slots_is_read_and_nonsense_is_left_out() {
        let text = |text: &str| Value::BulkString(text.into());
        let node = |host: Value, port| Value::Array(vec![host, Value::Int(port), text("id")]);
        let answer = Value::Array(vec![
            Value::Array(vec![Value::Int(9), Value::Int(16_383), node(Value::Nil, 7)]),
            Value::Array(vec![Value::Int(0), Value::Int(8), node(text("b"), 6), node(text("c"), 5)]),
            Value::Array(vec![Value::Int(0), Value::Int(8)]),
            Value::Array(vec![Value::Int(0), Value::Int(70_000), node(text("b"), 6)]),
        ]);
        let address = |host: &str, port| RedisAddress { host: host.to_owned(), port };

        let ranges = parse(answer, Some(&address("asked", 1))).expect("a list of lists");

        let first = Range { start: 0, end: 8, primary: address("b", 6), replicas: vec![address("c", 5)] };
        let second = Range { start: 9, end: 16_383, primary: address("asked", 7), replicas: vec![] };
        assert_eq!(ranges, [first, second]);
        assert!(parse(Value::Okay, None).is_err());
    }
}
