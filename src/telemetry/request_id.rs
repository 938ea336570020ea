//! Names for requests: unique across gateways and restarts, cheap, and no secret.

use std::cell::Cell;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// 32 hexadecimal digits: 8 bytes random for this process, 3 of the thread, 5 that count. Also the
/// trace id of a trace that begins here. What a trusted proxy calls the request may take their place as its name.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestId {
    digits: [u8; 32],
    given: Option<Box<str>>,
}

/// Longer ones aren't taken over.
const MAX_GIVEN: usize = 128;

impl RequestId {
    pub fn next() -> Self {
        static PROCESS: LazyLock<u64> = LazyLock::new(|| uuid::Uuid::new_v4().as_u64_pair().1);
        static THREADS: AtomicU64 = AtomicU64::new(0);
        thread_local! {
            static THREAD: u64 = (THREADS.fetch_add(1, Ordering::Relaxed) & 0xff_ffff) << 40;
            static COUNT: Cell<u64> = const { Cell::new(0) };
        }
        let count = COUNT.get() + 1;
        COUNT.set(count);
        let low = THREAD.with(|thread| *thread) | (count & 0xff_ffff_ffff);
        let mut digits = [0; 32];
        write_hex(&mut digits[..16], *PROCESS);
        write_hex(&mut digits[16..], low);
        Self { digits, given: None }
    }

    /// The name from now on, if it is one that needs no escaping in logs, headers and JSON.
    pub fn adopt(&mut self, given: &str) {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@,;~|".contains(&byte);
        if !given.is_empty() && given.len() <= MAX_GIVEN && given.bytes().all(is_plain) {
            self.given = Some(given.into());
        }
    }

    pub fn as_str(&self) -> &str {
        self.given.as_deref().unwrap_or_else(|| self.digits())
    }

    fn digits(&self) -> &str {
        std::str::from_utf8(&self.digits).expect("hexadecimal digits are ASCII")
    }

    /// A number that is spread evenly over all requests, and the same whenever it is asked for.
    pub fn number(&self) -> u64 {
        foldhash::quality::FixedState::default().hash_one(self.digits)
    }

    /// The id of a trace that begins with this request: the same digits.
    pub fn trace_id(&self) -> [u8; 16] {
        u128::from_str_radix(self.digits(), 16).unwrap_or(1).to_be_bytes()
    }

    /// `traceparent` (W3C Trace Context §3.2) of an unsampled trace that begins with this request.
    pub fn traceparent(&self) -> [u8; 55] {
        let mut field = *b"00-00000000000000000000000000000000-0000000000000000-00";
        field[3..35].copy_from_slice(&self.digits);
        field[36..52].copy_from_slice(&self.digits[16..]);
        field
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn write_hex(digits: &mut [u8], value: u64) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (place, digit) in digits.iter_mut().rev().enumerate() {
        *digit = DIGITS[(value >> (4 * place)) as usize & 15];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_between_calls_and_threads() {
        let mut ids: Vec<String> = (0..4)
            .map(|_| {
                std::thread::spawn(|| (0..100).map(|_| RequestId::next().to_string()).collect::<Vec<_>>())
            })
            .flat_map(|thread| thread.join().unwrap())
            .collect();
        ids.sort();
        ids.dedup();

        assert_eq!(ids.len(), 400);
        assert!(ids.iter().all(|id| id.len() == 32));
    }

    #[test]
    fn only_a_plain_name_is_taken_over_and_the_trace_keeps_its_digits() {
        let mut id = RequestId::next();
        let trace = id.traceparent();
        for odd in ["", "a b", "a\"b", "a\\b", "é", "a\r\nb", &"x".repeat(MAX_GIVEN + 1)] {
            id.adopt(odd);
            assert_eq!(id.as_str(), id.digits(), "{odd:?}");
        }

        id.adopt("01J9-edge:7/a=b");

        assert_eq!(id.to_string(), "01J9-edge:7/a=b");
        assert_eq!(id.traceparent(), trace);
    }

    #[test]
    fn a_traceparent_is_well_formed() {
        let id = RequestId::next();

        let field = String::from_utf8(id.traceparent().to_vec()).unwrap();
        assert_eq!(field, format!("00-{id}-{}-00", &id.as_str()[16..]));
    }
}
