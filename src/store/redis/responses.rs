//! Stored answers: one value each, `SET` whole with its time to live, so that a write that fails leaves
//! nothing behind. A long body isn't in that value: its parts are written before, under names of their own,
//! and read one by one.

use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, BufMut, Bytes};
use redis::{Cmd, RedisWrite, cmd};
use uuid::Uuid;

use super::key::Key;
use super::script::Script;
use super::{RedisState, parse};
use crate::store::{Parts, ResponseParts, Responses, StoreError, StoredBody, StoredResponse};

/// First byte of every value; entries of another version are as good as absent.
const FORMAT: u8 = 4;
/// The second byte: whether parts follow, or the body is at the end.
const WHOLE: u8 = 0;
const IN_PARTS: u8 = 1;
/// Of what comes before the label, with parts: both bytes, the parts' id and the body's length.
const START_BYTES: usize = 2 + 16 + 8;
/// However long it is fresh: purges needn't be remembered for longer.
pub(super) const LONGEST_LIFE_MS: u64 = 7 * 24 * 3600 * 1000;
/// Of parts whose answer was replaced: somebody may be reading them.
const LAST_READERS: Duration = Duration::from_secs(60);

/// Both answer how the value that was there before began.
static KEEP: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local before = redis.call('GETRANGE', KEYS[1], 0, ARGV[3])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return before",
    )
});
static FORGET: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local before = redis.call('GETRANGE', KEYS[1], 0, ARGV[1])
redis.call('DEL', KEYS[1])
return before",
    )
});
static KEEP_PARTS_FOR: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local there = 0
for _, key in ipairs(KEYS) do
    there = there + redis.call('PEXPIRE', key, ARGV[1])
end
return there",
    )
});

#[async_trait]
impl Responses for RedisState {
    async fn find(&self, key: &str) -> Result<Option<StoredResponse>, StoreError> {
        let answer = self.connections.run(&command("GET", Key::Response(key))).await?;
        let Some(found) = parse::<Option<Bytes>>(answer)?.and_then(decode) else { return Ok(None) };
        if let StoredBody::InParts(parts) = found.body
            && !self.are_there(parts).await?
        {
            return Ok(None);
        }
        Ok(Some(found))
    }

    async fn keep(&self, key: &str, response: &StoredResponse, ttl: Duration) -> Result<(), StoreError> {
        let value = encode(response);
        let call =
            KEEP.call(1, 3).key(Key::Response(key)).arg(value).arg(milliseconds(ttl)).arg(START_BYTES - 1);
        let before = parse::<Bytes>(call.run(&self.connections).await?)?;
        let own = match response.body {
            StoredBody::InParts(parts) => Some(parts.id),
            StoredBody::Whole(_) => None,
        };
        self.retire(before, own).await
    }

    fn tier(&self) -> &'static str {
        "redis"
    }

    async fn forget(&self, key: &str) -> Result<bool, StoreError> {
        let call = FORGET.call(1, 1).key(Key::Response(key)).arg(START_BYTES - 1);
        let before = parse::<Bytes>(call.run(&self.connections).await?)?;
        let was_there = !before.is_empty();
        self.retire(before, None).await?;
        Ok(was_there)
    }

    fn parts(&self) -> Option<&dyn ResponseParts> {
        Some(self)
    }
}

#[async_trait]
impl ResponseParts for RedisState {
    async fn keep_part(&self, of: Uuid, number: u64, part: &[u8], ttl: Duration) -> Result<(), StoreError> {
        let mut command = command("SET", Key::ResponsePart(of, number));
        command.arg(part).arg("PX").arg(milliseconds(ttl));
        self.connections.run(&command).await.map(drop)
    }

    async fn find_part(&self, of: Uuid, number: u64) -> Result<Option<Bytes>, StoreError> {
        parse(self.connections.run(&command("GET", Key::ResponsePart(of, number))).await?)
    }

    async fn keep_parts_for(&self, parts: Parts, ttl: Duration) -> Result<bool, StoreError> {
        let count = usize::try_from(parts.count()).unwrap_or(usize::MAX);
        let call = keys(parts).fold(KEEP_PARTS_FOR.call(count, 1), super::script::Call::key);
        let there: u64 = parse(call.arg(milliseconds(ttl)).run(&self.connections).await?)?;
        Ok(there == parts.count())
    }
}

impl RedisState {
    /// Redis may have evicted some.
    async fn are_there(&self, parts: Parts) -> Result<bool, StoreError> {
        let mut command = cmd("EXISTS");
        keys(parts).for_each(|key| command.write_arg_fmt(key));
        let there: u64 = parse(self.connections.run(&command).await?)?;
        Ok(there == parts.count())
    }

    /// The parts of what was there before, unless they are those of what is there now.
    async fn retire(&self, before: Bytes, own: Option<Uuid>) -> Result<(), StoreError> {
        match parts_of(before) {
            Some(parts) if Some(parts.id) != own => self.keep_parts_for(parts, LAST_READERS).await.map(drop),
            _ => Ok(()),
        }
    }
}

fn keys(parts: Parts) -> impl Iterator<Item = Key<'static>> {
    (0..parts.count()).map(move |number| Key::ResponsePart(parts.id, number))
}

fn command(name: &str, key: Key<'_>) -> Cmd {
    let mut command = cmd(name);
    command.write_arg_fmt(key);
    command
}

fn milliseconds(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).clamp(1, LONGEST_LIFE_MS)
}

fn encode(response: &StoredResponse) -> Vec<u8> {
    let StoredResponse { label, meta, head, body } = response;
    let at_the_end: &[u8] = match body {
        StoredBody::Whole(body) => body,
        StoredBody::InParts(_) => &[],
    };
    let room = START_BYTES + 12 + label.len() + meta.len() + head.len() + at_the_end.len();
    let mut value = Vec::with_capacity(room);
    value.put_u8(FORMAT);
    match body {
        StoredBody::Whole(_) => value.put_u8(WHOLE),
        StoredBody::InParts(parts) => {
            value.put_u8(IN_PARTS);
            value.put_u128(parts.id.as_u128());
            value.put_u64(parts.bytes);
        }
    }
    for part in [label, meta, head] {
        value.put_u32(u32::try_from(part.len()).unwrap_or(u32::MAX));
        value.extend_from_slice(part);
    }
    value.extend_from_slice(at_the_end);
    value
}

/// `None` for a value that isn't whole or of another format.
fn decode(mut value: Bytes) -> Option<StoredResponse> {
    let parts = start(&mut value)?;
    let label = part(&mut value)?;
    let meta = part(&mut value)?;
    let head = part(&mut value)?;
    let body = parts.map_or(StoredBody::Whole(value), StoredBody::InParts);
    Some(StoredResponse { label, meta, head, body })
}

/// What comes before the label. `Some(None)` without parts.
fn start(value: &mut Bytes) -> Option<Option<Parts>> {
    if value.try_get_u8().ok()? != FORMAT {
        return None;
    }
    match value.try_get_u8().ok()? {
        WHOLE => Some(None),
        IN_PARTS => {
            let id = Uuid::from_u128(value.try_get_u128().ok()?);
            Some(Some(Parts { id, bytes: value.try_get_u64().ok()? }))
        }
        _ => None,
    }
}

/// Of a value, by its first bytes.
fn parts_of(mut value: Bytes) -> Option<Parts> {
    start(&mut value)?
}

fn part(value: &mut Bytes) -> Option<Bytes> {
    let length = value.try_get_u32().ok()? as usize;
    (value.len() >= length).then(|| value.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_whole_or_not_at_all() {
        let parts = Parts { id: Uuid::from_u128(7), bytes: 1 << 40 };
        for (body, least) in [(StoredBody::Whole("body".into()), 20), (StoredBody::InParts(parts), 44)] {
            let response = StoredResponse { label: "l".into(), meta: "m".into(), head: "head".into(), body };
            let value = Bytes::from(encode(&response));

            assert_eq!(decode(value.clone()), Some(response));
            for end in 0..least {
                assert_eq!(decode(value.slice(..end)), None, "cut at {end}");
            }
        }
        for other in [&b"\x03\0whatever"[..], b"\x04\x02whatever"] {
            assert_eq!(decode(Bytes::from_static(other)), None);
        }
    }

    #[test]
    fn the_first_bytes_of_a_value_name_its_parts() {
        let parts = Parts { id: Uuid::from_u128(u128::MAX - 7), bytes: 5 };
        let response = |body| StoredResponse { label: "l".into(), meta: "m".into(), head: "h".into(), body };
        let value = Bytes::from(encode(&response(StoredBody::InParts(parts))));

        assert_eq!(parts_of(value.slice(..START_BYTES)), Some(parts));
        let whole = Bytes::from(encode(&response(StoredBody::Whole("a body of its own".into()))));
        assert_eq!(parts_of(whole.slice(..START_BYTES)), None);
        assert_eq!(parts_of(Bytes::new()), None);
    }
}
