//! Names for requests: unique across gateways and restarts, cheap, and no secret.

use std::cell::Cell;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// 32 hexadecimal digits: 8 random bytes of this process, 3 of the thread, 5 that count.
pub fn next() -> String {
    static PROCESS: LazyLock<u64> = LazyLock::new(|| uuid::Uuid::new_v4().as_u64_pair().1);
    static THREADS: AtomicU64 = AtomicU64::new(0);
    thread_local! {
        static THREAD: u64 = (THREADS.fetch_add(1, Ordering::Relaxed) & 0xff_ffff) << 40;
        static COUNT: Cell<u64> = const { Cell::new(0) };
    }
    let count = COUNT.get() + 1;
    COUNT.set(count);
    let low = THREAD.with(|thread| *thread) | (count & 0xff_ffff_ffff);
    hex(u128::from(*PROCESS) << 64 | u128::from(low))
}

fn hex(value: u128) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    (0..32).rev().map(|place| DIGITS[(value >> (4 * place)) as usize & 15] as char).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_between_calls_and_threads() {
        let mut ids: Vec<String> = (0..4)
            .map(|_| std::thread::spawn(|| (0..100).map(|_| next()).collect::<Vec<_>>()))
            .flat_map(|thread| thread.join().unwrap())
            .collect();
        ids.sort();
        ids.dedup();

        assert_eq!(ids.len(), 400);
        assert!(ids.iter().all(|id| id.len() == 32));
    }
}
