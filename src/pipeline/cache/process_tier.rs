//! Ready answers, which `serve` gives out, and where they are kept within this process, in front of the store:
//! bounded in bytes and short-lived, and found by the whole key, not by a hash of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use pingora::cache::key::HashBinary;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::stored_head::StoredHead;
use super::{head_lines, vary};
use crate::answer;
use crate::pipeline::forward::sent_fields::SentFields;
use crate::store::{Label, Marks, bounded};

/// After this the store is asked again: another gateway may have put something newer there.
const LONGEST_STAY: Duration = Duration::from_secs(10);
/// A larger body would push out too many others.
const LARGEST_PART: u64 = 16;
/// What an entry costs beside its bytes; of its head, per field.
const OVERHEAD: usize = 512;
const FIELD_OVERHEAD: usize = 64;

pub struct ProcessTier {
    entries: Cache<Box<[u8]>, Arc<ReadyAnswer>, Weigh>,
    max_bytes: u64,
}

/// A plain answer, whole: it needs no more than its age.
pub struct ReadyAnswer {
    pub status: StatusCode,
    /// Without what is said anew in each answer.
    pub headers: HeaderMap,
    /// The same as the first lines of an HTTP/1 head, if no more than our own fields have to follow.
    pub lines: Option<Bytes>,
    pub body: Bytes,
    /// Of requests that get this answer; `None` if all do.
    pub variance: Option<HashBinary>,
    /// From when `Age` counts.
    pub since: SystemTime,
    pub fresh_until: SystemTime,
    /// The process, by the monotonic clock.
    leaves_at: Instant,
    label: Label,
    /// The marks' generation when no purge concerned it.
    checked: AtomicU64,
}

#[derive(Clone)]
struct Weigh;

impl Weighter<Box<[u8]>, Arc<ReadyAnswer>> for Weigh {
    fn weight(&self, key: &Box<[u8]>, answer: &Arc<ReadyAnswer>) -> u64 {
        let fields =
            answer.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD);
        let lines = answer.lines.as_ref().map_or(0, Bytes::len);
        (key.len() + fields.sum::<usize>() + lines + answer.body.len() + answer.label.weight() + OVERHEAD)
            as u64
    }
}

impl ProcessTier {
    pub fn new(max_bytes: u64) -> Self {
        Self { entries: bounded(max_bytes, Weigh), max_bytes }
    }

    /// Fresh, and purged by nobody as far as `marks` know, which must be current.
    pub fn find(&self, key: &[u8], marks: &Marks, now: Instant) -> Option<Arc<ReadyAnswer>> {
        let answer = self.entries.get(key)?;
        if now >= answer.leaves_at {
            self.entries.remove(key);
            return None;
        }
        answer.is_allowed(marks, now).then_some(answer)
    }

    /// Keeps an answer that is fresh and small enough.
    pub fn keep(&self, key: &[u8], mut answer: ReadyAnswer) -> Arc<ReadyAnswer> {
        let left = answer.fresh_until.duration_since(SystemTime::now()).unwrap_or_default();
        if left.is_zero() || !self.takes(answer.body.len()) {
            return Arc::new(answer);
        }
        answer.leaves_at = Instant::now() + left.min(LONGEST_STAY);
        let answer = Arc::new(answer);
        self.entries.insert(key.into(), answer.clone());
        answer
    }

    /// Bodies of such a length.
    pub fn takes(&self, bytes: usize) -> bool {
        bytes as u64 <= self.max_bytes / LARGEST_PART
    }

    pub fn forget(&self, key: &[u8]) {
        self.entries.remove(key);
    }

    pub fn held_bytes(&self) -> u64 {
        self.entries.weight()
    }

    pub fn held_answers(&self) -> usize {
        self.entries.len()
    }
}

impl ReadyAnswer {
    /// With the whole body. What this takes of a larger read is kept with all of it.
    pub fn new(head: StoredHead, label: Label, body: Bytes) -> Self {
        let StoredHead { status, headers, variance, since, fresh_until } = head;
        let (headers, lines) = head_lines::ready(status, plain(status, headers, body.len()));
        Self {
            status,
            headers,
            lines,
            body,
            variance,
            since,
            fresh_until,
            leaves_at: Instant::now(),
            label,
            checked: AtomicU64::new(0),
        }
    }

    /// Whether it is fresh, and meant for such a request.
    pub fn answers(&self, request: SentFields<'_>, now: SystemTime) -> bool {
        vary::is_meant(self.variance, &self.headers, request) && self.fresh_until > now
    }

    /// Most answers were checked against the same marks before.
    fn is_allowed(&self, marks: &Marks, now: Instant) -> bool {
        let generation = marks.generation();
        if self.checked.load(Ordering::Acquire) == generation {
            return marks.is_current_at(now);
        }
        let is_allowed = marks.allows(&self.label);
        if is_allowed {
            self.checked.store(generation, Ordering::Release);
        }
        is_allowed
    }
}

/// The fields for clients; the body is here whole, so its length is known.
fn plain(status: StatusCode, mut headers: HeaderMap, length: usize) -> HeaderMap {
    headers.remove(header::TRANSFER_ENCODING);
    if status != StatusCode::NO_CONTENT {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    // Here and not in each copy. One that is too large says so when it grows.
    let _ = headers.try_reserve(answer::ADDED);
    headers
}
