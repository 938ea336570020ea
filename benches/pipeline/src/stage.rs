//! What every measurement stands on: the upstream, Redis, a folder, and the programs under test.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::process::{LOAD_CORE, PROXY_CORE, Process};
use crate::{Failure, process};

pub const UPSTREAM: &str = "127.0.0.1:19000";
const BARE: &str = "127.0.0.1:19001";
pub const REDIS: &str = "127.0.0.1:19002";
pub const REDIS_PORT: &str = "19002";

pub struct Stage {
    pub programs: PathBuf,
    folder: TempDir,
    _upstream: Process,
    _redis: Process,
}

impl Stage {
    pub fn set() -> Result<Self, Failure> {
        process::stay_on(LOAD_CORE)?;
        let programs = programs()?;
        let upstream =
            Process::start(LOAD_CORE, &programs.join("bench-upstream"), &[UPSTREAM])?.listening(UPSTREAM)?;
        let redis = Process::start(
            LOAD_CORE,
            Path::new("redis-server"),
            &["--port", REDIS_PORT, "--save", "", "--bind", "127.0.0.1", "--loglevel", "warning"],
        )?
        .listening(REDIS)?;
        Ok(Self { programs, folder: tempfile::tempdir()?, _upstream: upstream, _redis: redis })
    }

    /// As in `storage.state`.
    pub fn redis_url() -> String {
        format!("redis://{REDIS}")
    }

    /// A folder of that name, empty at first.
    pub fn folder(&self, name: &str) -> Result<PathBuf, Failure> {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    pub fn bare(&self) -> Result<Bare, Failure> {
        let program = self.programs.join("bare-pingora");
        Ok(Bare { process: Process::start(PROXY_CORE, &program, &[BARE, UPSTREAM])?.listening(BARE)? })
    }
}

/// Bare Pingora before the upstream.
pub struct Bare {
    pub process: Process,
}

impl Bare {
    pub const ADDRESS: &'static str = BARE;

    pub fn url() -> String {
        format!("http://{BARE}/public")
    }
}

/// The release binaries lie beside this one.
fn programs() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe()?;
    let folder = own.parent().ok_or("this program lies in no folder")?;
    Ok(folder.to_path_buf())
}
