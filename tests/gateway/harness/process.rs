//! A program under test that can't outlive its test, however that ends.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;

use super::eventually;

/// Killed when dropped.
pub struct Process {
    child: Mutex<Child>,
    watchdog: Child,
}

/// Reads until we say that all is well, or are gone.
const WATCHDOG: &str = r#"read -r _ || { kill -KILL "$1"; rm -rf "$2"; }"#;

impl Process {
    /// Output is added to `stdout.log` and `stderr.log` in `home`, which is removed when the test
    /// process dies before it can do so itself.
    pub fn start(command: &mut Command, home: &Path) -> Self {
        let log = |name| {
            let file = File::options().create(true).append(true).open(home.join(name));
            Stdio::from(file.expect("the temporary folder is writable"))
        };
        command.stdin(Stdio::null()).stdout(log("stdout.log")).stderr(log("stderr.log"));
        let child = command.spawn().unwrap_or_else(|error| panic!("starting {command:?}: {error}"));
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog", &child.id().to_string()])
            .arg(home)
            // Ctrl-C reaches the test process only; the watchdog has to outlive it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("every Unix has `sh`");
        Self { child: Mutex::new(child), watchdog }
    }

    pub fn id(&self) -> u32 {
        self.child().id()
    }

    /// `signal` as `kill` names it: `HUP`, `TERM`, `STOP`.
    pub fn signal(&self, signal: &str) {
        assert!(self.ended().is_none(), "SIG{signal} for a process that has ended");
        let kill = Command::new("kill").args(["-s", signal, &self.id().to_string()]).status();
        assert!(kill.expect("every Unix has `kill`").success(), "SIG{signal} could not be sent");
    }

    /// `None` while it runs.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.child().try_wait().expect("it is our child")
    }

    /// Waits until it ends by itself, or by a signal sent before.
    pub async fn end(&self) -> ExitStatus {
        eventually("the end of the process", async || self.ended()).await
    }

    /// SIGKILL; returns when it is gone.
    pub fn kill(&self) {
        let mut child = self.child();
        // Fails only if it was gone already.
        let _ = child.kill();
        child.wait().expect("it is our child");
    }

    fn child(&self) -> std::sync::MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if let Some(mut stdin) = self.watchdog.stdin.take() {
            let _ = std::io::Write::write_all(&mut stdin, b"\n");
        }
        let _ = self.watchdog.wait();
    }
}
