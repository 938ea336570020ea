//! Lines on their way to a place that may take them only in part: what was begun is finished before anything else,
//! so that no reader finds two halves of different lines in one.

use std::io::{ErrorKind, Result, Write};
use std::time::Duration;

/// A pipe that takes nothing at the moment, though it doesn't block, is tried again after this.
const RETRY_AFTER: Duration = Duration::from_millis(5);

pub struct WholeLines<W> {
    out: W,
    /// Of a line whose begin was written.
    unfinished: Vec<u8>,
}

impl<W: Write> WholeLines<W> {
    pub fn new(out: W) -> Self {
        Self { out, unfinished: Vec::new() }
    }

    /// Writes lines, each with its line feed: how many of them are lost, and why if it isn't none.
    pub fn write(&mut self, lines: &[u8]) -> (u64, Result<()>) {
        let (written, outcome) = write_on(&mut self.out, &self.unfinished);
        self.unfinished.drain(..written);
        if outcome.is_err() {
            return (count(lines), outcome);
        }
        let (written, outcome) = write_on(&mut self.out, lines);
        let (begun, rest) = lines.split_at(written);
        let is_torn = begun.last().is_some_and(|last| *last != b'\n');
        let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
        let (line, lost) = rest.split_at(if is_torn { end } else { 0 });
        self.unfinished.extend_from_slice(line);
        (count(lost), outcome)
    }
}

fn count(lines: &[u8]) -> u64 {
    lines.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// How much was written before the first error.
fn write_on(out: &mut impl Write, bytes: &[u8]) -> (usize, Result<()>) {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match out.write(rest) {
            Ok(0) => return (written, Err(ErrorKind::WriteZero.into())),
            Ok(length) => written += length,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(RETRY_AFTER),
            Err(error) => return (written, Err(error)),
        }
    }
    (written, out.flush())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes, and then fails until it is given more room.
    struct Disk {
        taken: Vec<u8>,
        room: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> Result<usize> {
            let length = bytes.len().min(self.room);
            if length == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            self.room -= length;
            self.taken.extend_from_slice(&bytes[..length]);
            Ok(length)
        }

        fn flush(&mut self) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_written_whole_or_not_at_all_and_what_is_lost_is_counted() {
        for room in 0..=12 {
            let mut lines = WholeLines::new(Disk { taken: Vec::new(), room });

            let (lost, outcome) = lines.write(b"one\ntwo\nthree\n");
            assert_eq!(outcome.is_err(), room < 14);
            let (lost_again, _) = lines.write(b"four\n");
            lines.out.room = 1000;
            let (lost_at_last, outcome) = lines.write(b"five\n");

            assert!(outcome.is_ok() && lost_at_last == 0);
            let text = String::from_utf8(lines.out.taken).unwrap();
            let told: Vec<&str> = text.lines().collect();
            assert_eq!(told.len() as u64 + lost + lost_again, 5, "{room}: {text}");
            let known = ["one", "two", "three", "four", "five"];
            assert!(
                told.iter().all(|line| known.contains(line)) && text.ends_with("five\n"),
                "{room}: {text}"
            );
        }
    }

    #[test]
    fn a_pipe_that_is_full_for_a_moment_loses_nothing() {
        struct Slow(Vec<u8>, bool);
        impl Write for Slow {
            fn write(&mut self, bytes: &[u8]) -> Result<usize> {
                self.1 = !self.1;
                if self.1 {
                    return Err(ErrorKind::WouldBlock.into());
                }
                self.0.push(bytes[0]);
                Ok(1)
            }

            fn flush(&mut self) -> Result<()> {
                Ok(())
            }
        }
        let mut lines = WholeLines::new(Slow(Vec::new(), false));

        let (lost, outcome) = lines.write(b"a\nb\n");

        assert!(outcome.is_ok() && lost == 0 && lines.out.0 == b"a\nb\n");
    }
}
