//! Programs pinned to a core, stopped when dropped.

use std::io::Read;
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

pub struct Process(Child);

impl Process {
    pub fn start(core: &str, program: &Path, arguments: &[&str]) -> Result<Self, Failure> {
        let child = Command::new("taskset")
            .args(["-c", core])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("starting {}: {error}", program.display()))?;
        Ok(Self(child))
    }

    /// Waits until it takes connections.
    pub fn listening(mut self, address: &str) -> Result<Self, Failure> {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            if self.0.try_wait()?.is_some() || Instant::now() > deadline {
                return Err(format!("nothing listens on {address}: {}", self.complaint()).into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(self)
    }

    pub fn resident_kib(&self) -> Result<u64, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.split_whitespace().nth(1).ok_or("no figure after VmRSS")?.parse()?)
    }

    /// What it has used so far, by itself and in the kernel on its behalf.
    pub fn cpu_time(&self) -> Result<Duration, Failure> {
        /// `USER_HZ`, which Linux fixes for all programs.
        const TICKS_PER_SECOND: f64 = 100.0;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        let (_, fields) = stat.rsplit_once(')').ok_or("no program name in stat")?;
        let ticks: Vec<f64> =
            fields.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
        Ok(Duration::from_secs_f64(ticks.iter().sum::<f64>() / TICKS_PER_SECOND))
    }

    fn complaint(&mut self) -> String {
        let _ = self.0.kill();
        let mut text = String::new();
        if let Some(mut stderr) = self.0.stderr.take() {
            let _ = stderr.read_to_string(&mut text);
        }
        text
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
