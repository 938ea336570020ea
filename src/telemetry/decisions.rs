//! Decisions as they are made, for whoever follows them at the admin port. Bounded: a reader that is too slow
//! loses lines and is told how many; no request waits for one. Without a reader a request looks at one
//! number.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::RwLock;
use prometheus::IntCounter;
use serde::Deserialize;
use tokio::sync::mpsc;
use uuid::Uuid;

/// At the same time.
const MAX_READERS: usize = 16;
/// Lines that one of them may be behind.
const WAITING: usize = 1024;
/// Lines that go out at once.
const AT_ONCE: usize = 256;

pub struct Decisions {
    /// How many readers there are.
    followed: AtomicUsize,
    readers: RwLock<Vec<Arc<Reader>>>,
    dropped: IntCounter,
}

struct Reader {
    wanted: Wanted,
    lines: mpsc::Sender<Bytes>,
    dropped: AtomicU64,
}

/// What a reader wants to see; everything that it doesn't speak of.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    pub route: Option<String>,
    pub decision: Option<Decision>,
    pub reason: Option<String>,
    /// By id or name.
    pub user: Option<String>,
    /// `403` or `4xx`.
    pub status: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    Allow,
    Deny,
}

/// What there is to see of a request.
pub struct Decided<'a> {
    pub route: &'a str,
    pub decision: Decision,
    pub reason: &'a str,
    pub user: Option<(Uuid, &'a str)>,
    pub status: u16,
}

impl Wanted {
    fn fits(&self, decided: &Decided<'_>) -> bool {
        let is_user = |wanted: &String| {
            decided.user.is_some_and(|(id, name)| {
                name.eq_ignore_ascii_case(wanted) || Uuid::parse_str(wanted).is_ok_and(|wanted| wanted == id)
            })
        };
        self.route.as_ref().is_none_or(|route| route == decided.route)
            && self.decision.is_none_or(|decision| decision == decided.decision)
            && self.reason.as_ref().is_none_or(|reason| reason == decided.reason)
            && self.user.as_ref().is_none_or(is_user)
            && self.status.as_ref().is_none_or(|status| fits_status(status, decided.status))
    }
}

/// Whether it is three digits, or `x` in place of some.
pub fn is_status(pattern: &str) -> bool {
    pattern.len() == 3 && pattern.bytes().all(|byte| byte.is_ascii_digit() || byte == b'x')
}

fn fits_status(pattern: &str, status: u16) -> bool {
    let digits = [status / 100, status / 10 % 10, status % 10];
    pattern.bytes().zip(digits).all(|(byte, digit)| byte == b'x' || u16::from(byte - b'0') == digit)
}

impl Decisions {
    /// `dropped` counts lines that readers were too slow for.
    pub fn new(dropped: IntCounter) -> Self {
        Self { followed: AtomicUsize::new(0), readers: RwLock::default(), dropped }
    }

    pub fn is_followed(&self) -> bool {
        self.followed.load(Ordering::Relaxed) > 0
    }

    /// `line` appends the line; it is asked only if somebody wants to see it.
    pub fn tell(&self, decided: &Decided<'_>, line: impl FnOnce(&mut Vec<u8>)) {
        let readers = self.readers.read();
        let mut concerned = readers.iter().filter(|reader| reader.wanted.fits(decided)).peekable();
        if concerned.peek().is_none() {
            return;
        }
        let mut text = Vec::with_capacity(512);
        line(&mut text);
        let text = Bytes::from(text);
        for reader in concerned {
            if reader.lines.try_send(text.clone()).is_err() {
                reader.dropped.fetch_add(1, Ordering::Relaxed);
                self.dropped.inc();
            }
        }
    }

    /// From now on; `None` if there are too many readers already.
    pub fn follow(self: &Arc<Self>, wanted: Wanted) -> Option<Following> {
        let (lines, waiting) = mpsc::channel(WAITING);
        let mut readers = self.readers.write();
        if readers.len() >= MAX_READERS {
            return None;
        }
        let reader = Arc::new(Reader { wanted, lines, dropped: AtomicU64::new(0) });
        readers.push(reader.clone());
        self.followed.store(readers.len(), Ordering::Relaxed);
        Some(Following { decisions: self.clone(), reader, waiting })
    }
}

/// Ends when dropped.
pub struct Following {
    decisions: Arc<Decisions>,
    reader: Arc<Reader>,
    waiting: mpsc::Receiver<Bytes>,
}

impl Following {
    /// The next lines, one at least. Where some were lost, a line says how many.
    pub async fn next(&mut self) -> Vec<u8> {
        let mut lines = Vec::with_capacity(AT_ONCE);
        self.waiting.recv_many(&mut lines, AT_ONCE).await;
        let mut text = lines.concat();
        let dropped = self.reader.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            text.extend_from_slice(format!("{{\"dropped\":{dropped}}}\n").as_bytes());
        }
        text
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let mut readers = self.decisions.readers.write();
        readers.retain(|reader| !Arc::ptr_eq(reader, &self.reader));
        self.decisions.followed.store(readers.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided() -> Decided<'static> {
        let user = Some((Uuid::from_u128(7), "Alice"));
        Decided { route: "/a", decision: Decision::Deny, reason: "role_missing", user, status: 403 }
    }

    fn decisions() -> (Arc<Decisions>, IntCounter) {
        let dropped = IntCounter::new("dropped", "lines").unwrap();
        (Arc::new(Decisions::new(dropped.clone())), dropped)
    }

    #[test]
    fn a_reader_sees_what_it_asks_for() {
        let text = |text: &str| Some(text.to_owned());
        for fitting in [
            Wanted::default(),
            Wanted { route: text("/a"), reason: text("role_missing"), ..Wanted::default() },
            Wanted { decision: Some(Decision::Deny), status: text("4xx"), ..Wanted::default() },
            Wanted { user: text("alice"), status: text("403"), ..Wanted::default() },
            Wanted { user: Some(Uuid::from_u128(7).to_string()), ..Wanted::default() },
        ] {
            assert!(fitting.fits(&decided()), "{fitting:?}");
        }
        for other in [
            Wanted { route: text("/b"), ..Wanted::default() },
            Wanted { decision: Some(Decision::Allow), ..Wanted::default() },
            Wanted { reason: text("ok"), ..Wanted::default() },
            Wanted { user: text("bob"), ..Wanted::default() },
            Wanted { status: text("5xx"), ..Wanted::default() },
        ] {
            assert!(!other.fits(&decided()), "{other:?}");
        }
    }

    #[tokio::test]
    async fn a_slow_reader_loses_lines_and_is_told_how_many() {
        let (decisions, dropped) = decisions();
        let mut slow = decisions.follow(Wanted::default()).unwrap();
        for number in 0..WAITING + 7 {
            decisions.tell(&decided(), |line| line.extend_from_slice(format!("{number}\n").as_bytes()));
        }

        let first = String::from_utf8(slow.next().await).unwrap();

        assert!(first.starts_with("0\n1\n"), "{first}");
        assert!(first.ends_with("{\"dropped\":7}\n"), "{first}");
        assert_eq!(dropped.get(), 7);
    }

    #[test]
    fn readers_are_limited_and_forgotten_when_they_go() {
        let (decisions, _) = decisions();
        let readers: Vec<_> = (0..MAX_READERS).map(|_| decisions.follow(Wanted::default())).collect();

        assert!(readers.iter().all(Option::is_some) && decisions.follow(Wanted::default()).is_none());
        drop(readers);
        assert!(!decisions.is_followed());
        assert!(decisions.follow(Wanted::default()).is_some());
    }
}
