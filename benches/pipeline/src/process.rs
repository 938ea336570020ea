//! Programs pinned to a core, stopped when dropped, with whatever they started themselves.

use std::fs::File;
use std::io::{Read, Seek};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Failure;

/// For the load generator, the upstream and Redis.
pub const LOAD_CORE: &str = "0";
/// For the proxy under test alone.
pub const PROXY_CORE: &str = "1";

const PATIENCE: Duration = Duration::from_secs(20);

/// Keeps this program and the threads it will have on that core.
pub fn stay_on(core: &str) -> Result<(), Failure> {
    let id = std::process::id().to_string();
    let pinned = Command::new("taskset").args(["-cp", core, &id]).stdout(Stdio::null()).status()?;
    if !pinned.success() {
        return Err(format!("core {core} isn't to be had").into());
    }
    Ok(())
}

pub struct Process {
    child: Child,
    /// What it wrote to standard error; a file, since nobody reads it while it runs.
    complaints: File,
}

impl Process {
    /// Call it from the main thread: when the calling thread ends, so does the program, lest one
    /// outlive a bench that was killed.
    pub fn start(core: &str, program: &Path, arguments: &[&str]) -> Result<Self, Failure> {
        let complaints = tempfile::tempfile()?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "taskset", "-c", core])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(complaints.try_clone()?)
            .spawn()
            .map_err(|error| format!("starting {}: {error}", program.display()))?;
        Ok(Self { child, complaints })
    }

    /// Waits until it takes connections.
    pub fn listening(mut self, address: &str) -> Result<Self, Failure> {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            if self.child.try_wait()?.is_some() || Instant::now() > deadline {
                return Err(format!("nothing listens on {address}: {}", self.complaint()).into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(self)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn resident_kib(&self) -> Result<u64, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.split_whitespace().nth(1).ok_or("no figure after VmRSS")?.parse()?)
    }

    /// Asks it to end and waits until it has: a program that counts for the compiler writes down what it
    /// counted then.
    pub fn end(mut self) -> Result<(), Failure> {
        self.signal("INT")?;
        let ended = self.child.wait()?;
        if !ended.success() {
            return Err(format!("it ended with {ended}").into());
        }
        Ok(())
    }

    /// `name` without `SIG`.
    pub fn signal(&self, name: &str) -> Result<(), Failure> {
        let sent = Command::new("kill").args(["-s", name, &self.id().to_string()]).status()?;
        if !sent.success() {
            return Err(format!("SIG{name} wasn't sent").into());
        }
        Ok(())
    }

    /// What it and its children have used so far, by themselves and in the kernel on their behalf.
    pub fn cpu_time(&self) -> Result<Duration, Failure> {
        /// `USER_HZ`, which Linux fixes for all programs.
        const TICKS_PER_SECOND: f64 = 100.0;
        let own = [self.id()];
        let family: Vec<u32> = own.into_iter().chain(children(self.id())).collect();
        let ticks: f64 = family.into_iter().filter_map(Stat::read).map(|stat| stat.ticks).sum();
        Ok(Duration::from_secs_f64(ticks / TICKS_PER_SECOND))
    }

    fn complaint(&mut self) -> String {
        let _ = self.child.kill();
        let mut text = String::new();
        let _ = self.complaints.rewind();
        let _ = self.complaints.read_to_string(&mut text);
        text
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // nginx' master would start its workers anew, so it goes first.
        let left: Vec<String> = children(self.id()).iter().map(u32::to_string).collect();
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !left.is_empty() {
            let _ = Command::new("kill").arg("-KILL").args(left).stderr(Stdio::null()).status();
        }
    }
}

/// What `/proc/<id>/stat` says of a process.
struct Stat {
    parent: u32,
    ticks: f64,
}

impl Stat {
    /// `None` for a process that is gone.
    fn read(id: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let used = |field: usize| fields.get(field)?.parse::<f64>().ok();
        Some(Self { parent: fields.get(1)?.parse().ok()?, ticks: used(11)? + used(12)? })
    }
}

/// The processes that `parent` started. Grandchildren don't occur here.
fn children(parent: u32) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|&id| Stat::read(id).is_some_and(|stat| stat.parent == parent)).collect()
}
