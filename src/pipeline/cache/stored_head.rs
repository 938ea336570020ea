//! What is stored of an answer's head: all that a plain hit needs, in a form that is read in one go. Pingora's own
//! is compressed, and to unpack it for each hit took a tenth of a hit from Redis (docs/performance.md).

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use bytes::{Buf, BufMut, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use pingora::cache::CacheMeta;
use pingora::cache::key::HashBinary;

use crate::answer;

/// Both times, the variance, the status and the number of fields.
const START_BYTES: usize = 8 + 8 + 1 + 16 + 2 + 2;
/// The lengths of a name and a value.
const LENGTHS_BYTES: usize = 2 + 4;

/// A head of Pingora's own form, to be replaced.
static BLANK: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let epoch = SystemTime::UNIX_EPOCH;
    let blank = CacheMeta::new(epoch, epoch, 0, 0, answer::response_header(StatusCode::OK, HeaderMap::new()));
    blank.serialize().map(|(_, head)| head).unwrap_or_default()
});

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredHead {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// Of requests that get this answer; `None` if all do.
    pub variance: Option<HashBinary>,
    /// From when `Age` counts.
    pub since: SystemTime,
    pub fresh_until: SystemTime,
}

impl From<&CacheMeta> for StoredHead {
    fn from(meta: &CacheMeta) -> Self {
        Self {
            status: meta.response_header().status,
            headers: meta.headers().clone(),
            variance: meta.variance(),
            since: meta.epoch(),
            fresh_until: meta.fresh_until(),
        }
    }
}

impl StoredHead {
    pub fn to_bytes(&self) -> Bytes {
        let fields =
            self.headers.iter().map(|(name, value)| LENGTHS_BYTES + name.as_str().len() + value.len());
        let mut bytes = Vec::with_capacity(START_BYTES + fields.sum::<usize>());
        bytes.put_u64(micros(self.since));
        bytes.put_u64(micros(self.fresh_until));
        bytes.put_u8(self.variance.is_some().into());
        bytes.put_slice(&self.variance.unwrap_or_default());
        bytes.put_u16(self.status.as_u16());
        // A map of header fields takes no more.
        bytes.put_u16(u16::try_from(self.headers.len()).unwrap_or(u16::MAX));
        for (name, value) in &self.headers {
            bytes.put_u16(u16::try_from(name.as_str().len()).unwrap_or(u16::MAX));
            bytes.put_u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
            bytes.put_slice(name.as_str().as_bytes());
            bytes.put_slice(value.as_bytes());
        }
        bytes.into()
    }

    /// The values remain parts of `bytes`. `None` for what no gateway of this version wrote.
    pub fn from_bytes(mut bytes: Bytes) -> Option<Self> {
        let since = time(bytes.try_get_u64().ok()?)?;
        let fresh_until = time(bytes.try_get_u64().ok()?)?;
        let varies = bytes.try_get_u8().ok()? != 0;
        let variance = bytes.try_get_u128().ok()?.to_be_bytes();
        let status = StatusCode::from_u16(bytes.try_get_u16().ok()?).ok()?;
        let count = usize::from(bytes.try_get_u16().ok()?);
        let mut headers = HeaderMap::try_with_capacity(count + answer::ADDED).ok()?;
        for _ in 0..count {
            let name_bytes = usize::from(bytes.try_get_u16().ok()?);
            let value_bytes = usize::try_from(bytes.try_get_u32().ok()?).ok()?;
            let name = HeaderName::from_bytes(bytes.get(..name_bytes)?).ok()?;
            bytes.advance(name_bytes);
            let is_whole = bytes.len() >= value_bytes;
            let value =
                HeaderValue::from_maybe_shared(is_whole.then(|| bytes.split_to(value_bytes))?).ok()?;
            headers.try_append(name, value).ok()?;
        }
        let variance = varies.then_some(variance);
        bytes.is_empty().then_some(Self { status, headers, variance, since, fresh_until })
    }

    /// For Pingora's cache, whose own record of the times is `times`.
    pub fn into_meta(self, times: &[u8]) -> Option<CacheMeta> {
        let mut meta = CacheMeta::deserialize(times, &BLANK).ok()?;
        *meta.response_header_mut() = answer::response_header(self.status, self.headers);
        Some(meta)
    }
}

fn micros(time: SystemTime) -> u64 {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX)
}

fn time(micros: u64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use pingora::http::ResponseHeader;

    use super::*;

    fn meta() -> CacheMeta {
        let mut head = ResponseHeader::build(203, None).unwrap();
        for (name, value) in [("Content-Type", "text/plain"), ("x-a", "1"), ("x-a", "\u{e4}, 2"), ("x-b", "")]
        {
            head.append_header(name, value).unwrap();
        }
        let since = SystemTime::UNIX_EPOCH + Duration::from_micros(1_234_567_890_123_456);
        let mut meta = CacheMeta::new(since + Duration::from_secs(60), since, 7, 8, head);
        meta.set_variance(*b"0123456789abcdef");
        meta
    }

    #[test]
    fn a_head_is_read_as_it_was_written_and_no_other_is_read() {
        let head = StoredHead::from(&meta());
        let bytes = head.to_bytes();

        assert_eq!(StoredHead::from_bytes(bytes.clone()), Some(head));
        for end in 0..bytes.len() {
            assert_eq!(StoredHead::from_bytes(bytes.slice(..end)), None, "cut at {end}");
        }
        assert_eq!(StoredHead::from_bytes([&bytes[..], b"x"].concat().into()), None);
    }

    #[test]
    fn a_field_that_nobody_may_send_is_not_read() {
        let bytes = StoredHead::from(&meta()).to_bytes();
        let at = bytes.windows(4).position(|four| four == b"text").unwrap();

        for wrong in [b'\r', b'\n', 0] {
            let mut bytes = bytes.to_vec();
            bytes[at] = wrong;
            assert_eq!(StoredHead::from_bytes(bytes.into()), None);
        }
    }

    #[test]
    fn pingora_gets_what_it_gave() {
        let given = meta();
        let times = given.serialize().unwrap().0;

        let got = StoredHead::from(&given).into_meta(&times).unwrap();

        assert_eq!(got.headers(), given.headers());
        assert_eq!(got.response_header().status, 203);
        assert_eq!(
            (got.variance(), got.created(), got.updated()),
            (given.variance(), given.created(), given.updated())
        );
        assert_eq!(got.fresh_until(), given.fresh_until());
        assert_eq!((got.stale_while_revalidate_sec(), got.stale_if_error_sec()), (7, 8));
    }
}
