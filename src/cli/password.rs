//! Where a command has a password from: PORTCULLIS_PASSWORD, a prompt on a terminal, or standard input.

use std::io::{BufRead, IsTerminal, Stdin, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

pub fn read() -> Result<Zeroizing<String>, String> {
    if let Ok(password) = std::env::var("PORTCULLIS_PASSWORD") {
        return Ok(Zeroizing::new(password));
    }
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        return prompt_twice(&stdin);
    }
    let password = line(&stdin)?;
    if password.is_empty() {
        return Err("give the password on standard input or in PORTCULLIS_PASSWORD".into());
    }
    Ok(password)
}

fn prompt_twice(stdin: &Stdin) -> Result<Zeroizing<String>, String> {
    let password = prompt(stdin, "Password: ")?;
    if password.is_empty() {
        return Err("an empty password; nothing was changed".into());
    }
    if prompt(stdin, "Again: ")? != password {
        return Err("the two passwords differ; nothing was changed".into());
    }
    Ok(password)
}

/// Written to standard error, so that the output can go elsewhere.
fn prompt(stdin: &Stdin, words: &str) -> Result<Zeroizing<String>, String> {
    let silence = Silence::of(stdin)?;
    eprint!("{words}");
    // A prompt that can't be seen keeps nobody from typing.
    let _ = std::io::stderr().flush();
    let answer = line(stdin);
    drop(silence);
    eprintln!();
    answer
}

fn line(stdin: &Stdin) -> Result<Zeroizing<String>, String> {
    let mut line = Zeroizing::new(String::new());
    stdin.lock().read_line(&mut line).map_err(|error| format!("reading the password: {error}"))?;
    Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()))
}

/// A terminal without echo, until this is dropped.
struct Silence<'t> {
    terminal: &'t Stdin,
    before: Termios,
}

impl<'t> Silence<'t> {
    fn of(terminal: &'t Stdin) -> Result<Self, String> {
        let failed = |error| format!("turning the echo of the terminal off: {error}");
        let before = tcgetattr(terminal).map_err(failed)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &silent).map_err(failed)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        // The terminal may be gone.
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}
