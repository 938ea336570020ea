//! A Postgres of one's own, gone when dropped. It doesn't run as root, so root gives it to `nobody`.

use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::process::{LOAD_CORE, Process};

const PORT: &str = "19003";
const ADDRESS: &str = "127.0.0.1:19003";
const NOBODY: u32 = 65_534;
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Postgres {
    programs: PathBuf,
    _server: Process,
    // Removed after the server's end.
    _home: tempfile::TempDir,
}

impl Postgres {
    pub fn start() -> Result<Self, Failure> {
        let programs = programs()?;
        // Not in the stage's folder, which only its owner may enter.
        let home = tempfile::Builder::new().prefix("portcullis-bench-postgres-").tempdir()?;
        let is_root = home.path().metadata()?.uid() == 0;
        if is_root {
            chown(home.path(), Some(NOBODY), Some(NOBODY))?;
        }
        let data = home.path().join("data");
        let data = data.to_str().ok_or("the folder's name is not UTF-8")?;
        let initdb = programs.join("initdb");
        let made = as_nobody(is_root, &initdb)
            .args(["-D", data, "-U", "postgres", "--auth", "trust", "--encoding", "UTF8", "--no-sync"])
            .stdout(Stdio::null())
            .status()?;
        if !made.success() {
            return Err("initdb failed".into());
        }
        let postgres = programs.join("postgres");
        let mut arguments: Vec<&str> = Vec::new();
        let program = match is_root {
            true => {
                arguments.extend(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
                arguments.push(postgres.to_str().ok_or("the program's name is not UTF-8")?);
                Path::new("setpriv")
            }
            false => &postgres,
        };
        arguments.extend(["-D", data, "-p", PORT, "-h", "127.0.0.1", "-k", ""]);
        arguments.extend([
            "-c",
            "logging_collector=off",
            "-c",
            "log_min_messages=fatal",
            "-c",
            "max_wal_size=4GB",
        ]);
        let server = Process::start(LOAD_CORE, program, &arguments)?.listening(ADDRESS)?;
        let postgres = Self { programs, _server: server, _home: home };
        // It listens a moment before it answers.
        let deadline = Instant::now() + PATIENCE;
        while postgres.run("SELECT 1").is_err() {
            if Instant::now() > deadline {
                return Err("Postgres doesn't answer".into());
            }
        }
        Ok(postgres)
    }

    /// As in `storage.users`.
    pub fn url(&self) -> String {
        format!("postgres://postgres@{ADDRESS}/postgres")
    }

    /// The one value that it answers.
    pub fn ask(&self, question: &str) -> Result<String, Failure> {
        let asked =
            Command::new(self.programs.join("psql")).args(["-qAt", &self.url(), "-c", question]).output()?;
        if !asked.status.success() {
            return Err(format!("{question} failed").into());
        }
        Ok(String::from_utf8(asked.stdout)?.trim().to_owned())
    }

    pub fn run(&self, statement: &str) -> Result<(), Failure> {
        let done = Command::new(self.programs.join("psql"))
            .args(["-q", "-v", "ON_ERROR_STOP=1", &self.url(), "-c", statement])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        if done.success() { Ok(()) } else { Err(format!("{statement} failed").into()) }
    }
}

fn as_nobody(is_root: bool, program: &Path) -> Command {
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(program);
    command
}

/// Debian keeps each version's programs in a folder of its own.
fn programs() -> Result<PathBuf, Failure> {
    let versions = std::fs::read_dir("/usr/lib/postgresql");
    let folders = versions.into_iter().flatten().flatten().map(|version| version.path().join("bin"));
    let mut folders: Vec<PathBuf> = folders.filter(|folder| folder.join("initdb").exists()).collect();
    folders.sort();
    let in_path = std::env::var_os("PATH").into_iter().flat_map(|path| {
        std::env::split_paths(&path).filter(|folder| folder.join("initdb").exists()).collect::<Vec<_>>()
    });
    folders.pop().or_else(|| in_path.into_iter().next()).ok_or_else(|| "Postgres isn't installed".into())
}
