//! A server process under a watchdog: a small `sh` script that ends it when this process ends.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;

/// A server that can be started, stopped and paused any number of times.
pub struct Watched {
    /// Removed, with all that is in it, once the server is gone for good.
    home: PathBuf,
    watchdog: Mutex<Watchdog>,
}

struct Watchdog {
    process: Child,
    /// `None` once we have let go; the end of this pipe is what the watchdog watches for.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Watched {
    /// Prepares to run `command`; nothing runs before [`start`](Self::start). `last_signal` ends
    /// the server on [`kill`](Self::kill), when the value is dropped, and when the process dies.
    pub fn new(home: PathBuf, last_signal: &str, command: &[OsString]) -> Self {
        let mut process = Command::new("sh")
            .args(["-c", include_str!("watchdog.sh"), "watchdog"])
            .arg(&home)
            .arg(last_signal)
            .args(command)
            // Ctrl-C reaches the test process only; the watchdog has to outlive it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("every Unix has `sh`");
        let orders = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().expect("stdout is piped"));
        Self { home, watchdog: Mutex::new(Watchdog { process, orders, answers }) }
    }

    pub fn log(&self) -> PathBuf {
        self.home.join("log")
    }

    /// Starts the process; it need not be ready yet.
    pub fn start(&self) {
        self.order("start");
    }

    /// Ends it by its last signal; returns when the process is gone and its port is free.
    pub fn kill(&self) {
        self.order("kill");
    }

    /// SIGSTOP: connections stay open and nothing is answered.
    pub fn pause(&self) {
        self.order("pause");
    }

    pub fn resume(&self) {
        self.order("resume");
    }

    fn order(&self, word: &str) {
        let mut watchdog = self.watchdog.lock().expect("no order panics");
        let orders = watchdog.orders.as_mut().expect("only dropping lets go");
        writeln!(orders, "{word}").expect("the watchdog reads until we let go");
        let mut answer = String::new();
        watchdog.answers.read_line(&mut answer).expect("the watchdog answers every order");
        assert_eq!(answer, "done\n", "the watchdog of {} is gone", self.home.display());
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let Ok(watchdog) = self.watchdog.get_mut() else { return };
        watchdog.orders = None;
        let _ = watchdog.process.wait();
    }
}
