//! How far a long command is: one line on the terminal, written again as it goes on. Nothing where standard error is
//! no terminal.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

const WIDTH: usize = 40;

pub struct Progress {
    all: usize,
    /// Of the bar; `usize::MAX` before it is shown first.
    shown: AtomicUsize,
    is_visible: bool,
}

impl Progress {
    pub fn of(all: usize) -> Self {
        let is_visible = all > 0 && std::io::stderr().is_terminal();
        Self { all, shown: AtomicUsize::new(usize::MAX), is_visible }
    }

    pub fn show(&self, done: usize) {
        if !self.is_visible {
            return;
        }
        let percent = percent(done, self.all);
        if self.shown.swap(percent, Ordering::Relaxed) != percent {
            write(&line(percent, done, self.all));
        }
    }

    /// Takes the line away.
    pub fn clear(&self) {
        if self.is_visible {
            write("\r\x1b[K");
        }
    }
}

fn percent(done: usize, all: usize) -> usize {
    done.saturating_mul(100).checked_div(all).unwrap_or(100).min(100)
}

fn line(percent: usize, done: usize, all: usize) -> String {
    let filled = percent * WIDTH / 100;
    format!("\r[{}{}] {percent:3}%  {done}/{all}", "#".repeat(filled), ".".repeat(WIDTH - filled))
}

/// A terminal that is gone doesn't end the command.
fn write(text: &str) {
    let mut terminal = std::io::stderr().lock();
    let _ = terminal.write_all(text.as_bytes()).and_then(|()| terminal.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_full_as_the_work_is_done() {
        assert_eq!(percent(0, 0), 100);
        assert_eq!(percent(1, 3), 33);
        let half = line(50, 2, 4);
        assert_eq!(half, format!("\r[{}{}]  50%  2/4", "#".repeat(20), ".".repeat(20)));
    }
}
