//! File descriptors: as many as the system gives, some of them kept for operators.

use std::fs::File;

use parking_lot::Mutex;
#[cfg(target_os = "linux")]
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What stores, listeners, files and the runtimes need, roughly.
const FOR_US: u64 = 64;
/// The least that is left for clients when there are hardly any.
const FEWEST_CLIENTS: u64 = 16;
/// Where the limit isn't asked for.
#[cfg(not(target_os = "linux"))]
const UNKNOWN_LIMIT: u64 = 65_536;
/// Connections to the admin port for which descriptors are kept.
const KEPT: usize = 8;

/// Raises the limit of open files as far as an ordinary process may.
pub fn raise_limit() {
    #[cfg(target_os = "linux")]
    {
        let limit = getrlimit(Resource::Nofile);
        if limit.current < limit.maximum || (limit.current.is_some() && limit.maximum.is_none()) {
            let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
            if let Err(error) = setrlimit(Resource::Nofile, raised) {
                tracing::warn!(%error, "the limit of open files can't be raised");
            }
        }
    }
}

/// How many connections of clients fit: each may need one to an upstream as well.
pub fn for_clients() -> u32 {
    let clients = (limit().saturating_sub(FOR_US) / 2).max(FEWEST_CLIENTS);
    u32::try_from(clients).unwrap_or(u32::MAX)
}

#[cfg(target_os = "linux")]
fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(not(target_os = "linux"))]
fn limit() -> u64 {
    UNKNOWN_LIMIT
}

/// Descriptors that are held open so that there are some to give back.
#[derive(Default)]
pub struct Kept(Mutex<Vec<File>>);

impl Kept {
    /// Takes up those that are missing, as far as there are any.
    pub fn fill(&self) {
        let mut kept = self.0.lock();
        while kept.len() < KEPT {
            let Ok(file) = File::open("/dev/null") else { return };
            kept.push(file);
        }
    }

    /// Gives one back to the system; `false` if none is left.
    pub fn give_back(&self) -> bool {
        self.0.lock().pop().is_some()
    }
}
