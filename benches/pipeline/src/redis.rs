//! Redis' own words, by inline commands.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::Failure;
use crate::stage::REDIS;

/// The answer to one command: a line, or the text that the line announces.
pub fn command(command: &str) -> Result<String, Failure> {
    let mut connection = BufReader::new(TcpStream::connect(REDIS)?);
    connection.get_mut().write_all(format!("{command}\r\n").as_bytes())?;
    let mut line = String::new();
    connection.read_line(&mut line)?;
    match line.trim_end().split_at_checked(1) {
        Some(("$", length)) => {
            let mut text = vec![0; length.parse()?];
            connection.read_exact(&mut text)?;
            Ok(String::from_utf8(text)?)
        }
        Some(("-", problem)) => Err(format!("{command}: {problem}").into()),
        Some((_, answer)) => Ok(answer.to_owned()),
        None => Err(format!("{command}: no answer").into()),
    }
}

/// Counts the commands that clients send, by name. Those that scripts call aren't among them.
pub struct Monitor {
    connection: TcpStream,
    counting: JoinHandle<BTreeMap<String, usize>>,
}

impl Monitor {
    pub fn start() -> Result<Self, Failure> {
        let mut connection = TcpStream::connect(REDIS)?;
        connection.write_all(b"MONITOR\r\n")?;
        let mut lines = BufReader::new(connection.try_clone()?);
        let mut greeting = String::new();
        lines.read_line(&mut greeting)?;
        Ok(Self { connection, counting: std::thread::spawn(move || count(lines)) })
    }

    pub fn stop(self) -> Result<BTreeMap<String, usize>, Failure> {
        // What Redis has executed by now, it has also told.
        command("PING")?;
        std::thread::sleep(Duration::from_millis(100));
        self.connection.shutdown(Shutdown::Both)?;
        self.counting.join().map_err(|_| "counting Redis' commands failed".into())
    }
}

/// From lines such as `+1700000000.000000 [0 127.0.0.1:40000] "EVALSHA" "…"`; a script's have `lua`
/// where the client's address would be.
fn count(lines: impl BufRead) -> BTreeMap<String, usize> {
    let own = ["INFO", "PING", "CONFIG"];
    let mut counts = BTreeMap::new();
    for line in lines.lines().map_while(Result::ok) {
        let Some((source, words)) = line.split_once("] \"") else { continue };
        let name = words.split('"').next().unwrap_or_default().to_ascii_uppercase();
        if !source.ends_with(" lua") && !own.contains(&name.as_str()) {
            *counts.entry(name).or_default() += 1;
        }
    }
    counts
}
