//! Ports that stay one test's own: outside the kernel's ephemeral range, so that no outgoing
//! connection takes them, and locked by a file each, so that no parallel test or process does.

use std::fs::{File, TryLockError};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A port of 127.0.0.1, free and ours until this is dropped.
pub struct ReservedPort {
    number: u16,
    _lock: File,
}

impl ReservedPort {
    pub fn number(&self) -> u16 {
        self.number
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}

/// Reserves the next free port.
pub fn reserve() -> ReservedPort {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes start at different places, so that they seldom try the same port.
    let start = (std::process::id() % u32::from(COUNT)) as u16;
    for _ in 0..COUNT {
        let offset = u32::from(start) + u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let number = FIRST + (offset % u32::from(COUNT)) as u16;
        if let Some(port) = try_reserve(number) {
            return port;
        }
    }
    panic!("no free port from {FIRST} to {}", FIRST + COUNT - 1);
}

fn try_reserve(number: u16) -> Option<ReservedPort> {
    let path = lock_folder().join(number.to_string());
    let lock = File::options().create(true).append(true).open(&path);
    let lock = lock.unwrap_or_else(|error| panic!("opening {}: {error}", path.display()));
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return None,
        Err(TryLockError::Error(error)) => panic!("locking {}: {error}", path.display()),
    }
    let is_free = TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok();
    is_free.then_some(ReservedPort { number, _lock: lock })
}

/// One per user: another user's files could not be opened.
fn lock_folder() -> PathBuf {
    let user = std::env::var("USER").unwrap_or_default();
    let folder = std::env::temp_dir().join(format!("portcullis-test-ports-{user}"));
    std::fs::create_dir_all(&folder).expect("the temporary folder is writable");
    folder
}

#[test]
fn a_reserved_port_is_not_handed_out_again() {
    let first = reserve();

    assert!(try_reserve(first.number()).is_none());
}
