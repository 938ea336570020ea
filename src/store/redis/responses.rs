//! Stored answers: one value each, `SET` whole with its time to live, so that a write that fails
//! leaves nothing behind.

use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, BufMut, Bytes};
use redis::{Cmd, cmd};

use super::key::Key;
use super::{RedisState, parse};
use crate::store::{Responses, StoreError, StoredResponse};

/// First byte of every value; entries of another version are as good as absent.
const FORMAT: u8 = 2;
/// However long it is fresh: purges needn't be remembered for longer.
pub(super) const LONGEST_LIFE_MS: u64 = 7 * 24 * 3600 * 1000;

#[async_trait]
impl Responses for RedisState {
    async fn find(&self, key: &str) -> Result<Option<StoredResponse>, StoreError> {
        let answer = self.connections.run(&command("GET", key)).await?;
        let value: Option<Bytes> = parse(answer)?;
        Ok(value.and_then(decode))
    }

    async fn keep(&self, key: &str, response: &StoredResponse, ttl: Duration) -> Result<(), StoreError> {
        let mut command = command("SET", key);
        let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).clamp(1, LONGEST_LIFE_MS);
        command.arg(encode(response)).arg("PX").arg(ttl);
        self.connections.run(&command).await.map(drop)
    }

    fn tier(&self) -> &'static str {
        "redis"
    }

    async fn forget(&self, key: &str) -> Result<bool, StoreError> {
        let answer = self.connections.run(&command("DEL", key)).await?;
        let removed: u64 = parse(answer)?;
        Ok(removed > 0)
    }
}

fn command(name: &str, key: &str) -> Cmd {
    let mut command = cmd(name);
    command.arg(Key::Response(key).to_string());
    command
}

fn encode(response: &StoredResponse) -> Vec<u8> {
    let StoredResponse { label, meta, head, body } = response;
    let mut value = Vec::with_capacity(13 + label.len() + meta.len() + head.len() + body.len());
    value.put_u8(FORMAT);
    for part in [label, meta, head] {
        value.put_u32(u32::try_from(part.len()).unwrap_or(u32::MAX));
        value.extend_from_slice(part);
    }
    value.extend_from_slice(body);
    value
}

/// `None` for a value that isn't whole or of another format.
fn decode(mut value: Bytes) -> Option<StoredResponse> {
    if value.try_get_u8().ok()? != FORMAT {
        return None;
    }
    let label = part(&mut value)?;
    let meta = part(&mut value)?;
    let head = part(&mut value)?;
    Some(StoredResponse { label, meta, head, body: value })
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
        let response =
            StoredResponse { label: "l".into(), meta: "m".into(), head: "head".into(), body: "body".into() };
        let value = Bytes::from(encode(&response));

        assert_eq!(decode(value.clone()), Some(response));
        for end in 0..19 {
            assert_eq!(decode(value.slice(..end)), None, "cut at {end}");
        }
        assert_eq!(decode(Bytes::from_static(b"\x01whatever")), None);
    }
}
