//! Redis' own words, by inline commands.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

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
