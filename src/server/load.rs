//! Reads gateway.yaml and what it refers to: the only file that names the environment and the file
//! system for the configuration.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::config::compile::{Compiled, compile};
use crate::config::document::Document;
use crate::config::marks::{Flaw, Marks, Position};
use crate::config::problem::{Problem, Problems};
use crate::config::substitute::{Surroundings, substitute};
use crate::rehearsal;

const MAX_FILE_BYTES: u64 = 16 << 20;
/// Secrets and certificates.
const MAX_REFERENCED_BYTES: u64 = 1 << 20;

/// The policy of the file at `path`, or everything that is wrong with it.
pub fn load(path: &Path) -> Result<Compiled, Vec<Problem>> {
    let name = path.display().to_string();
    let text = read_text(path, MAX_FILE_BYTES).map_err(|reason| vec![Problem::with_file(&name, reason)])?;
    let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
    load_text(&name, &text, &Machine { folder })
}

/// The same, if its own `tests:` hold.
pub fn load_tested(path: &Path) -> Result<Compiled, Vec<Problem>> {
    load(path).and_then(test)
}

/// [`load_text`], if the text's own `tests:` hold.
pub fn load_text_tested(
    name: &str,
    text: &str,
    surroundings: &dyn Surroundings,
) -> Result<Compiled, Vec<Problem>> {
    load_text(name, text, surroundings).and_then(test)
}

fn test(compiled: Compiled) -> Result<Compiled, Vec<Problem>> {
    let mut failures = Problems::default();
    rehearsal::tests::run(compiled.policy.clone(), &mut failures);
    let (failures, _) = failures.into_lines(&compiled.document);
    if failures.is_empty() { Ok(compiled) } else { Err([failures, compiled.warnings].concat()) }
}

/// The admin address of a file that may be wrong elsewhere: whoever mends it wants to reach the gateway.
pub fn admin_address(path: &Path) -> Option<SocketAddr> {
    let document = parse("", &read_text(path, MAX_FILE_BYTES).ok()?).ok()?;
    let mut admin = document.tree.get("listen")?.get("admin")?.clone();
    let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
    substitute(&mut admin, &Machine { folder }, &mut Problems::default());
    admin.as_str()?.parse().ok()
}

/// The same for a text that is already there; `name` is what problems begin with.
pub fn load_text(name: &str, text: &str, surroundings: &dyn Surroundings) -> Result<Compiled, Vec<Problem>> {
    let document = parse(name, text)
        .map_err(|flaws| flaws.into_iter().map(|flaw| Problem::with_text(name, flaw)).collect::<Vec<_>>())?;
    compile(document, surroundings)
}

/// One line per problem.
pub fn render(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

fn parse(name: &str, text: &str) -> Result<Document, Vec<Flaw>> {
    let marks = Marks::read(text.trim_start_matches('\u{feff}'))?;
    let tree = marks.values();
    if tree.is_null() {
        return Err(vec![flaw_at_start("the file is empty; a small one has `upstreams:` and `routes:`")]);
    }
    Ok(Document { name: name.to_owned(), tree, marks })
}

fn flaw_at_start(message: &str) -> Flaw {
    Flaw { position: Position { line: 1, column: 1 }, path: Default::default(), message: message.to_owned() }
}

/// The real environment and file system.
pub struct Machine {
    /// Where gateway.yaml lies; paths in it are relative to this.
    pub folder: PathBuf,
}

impl Surroundings for Machine {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &str) -> Result<String, String> {
        read_text(&self.locate(path), MAX_REFERENCED_BYTES)
    }

    fn locate(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }
}

/// The whole file, up to `limit` bytes. `Err` is a reason for people.
fn read_text(path: &Path, limit: u64) -> Result<String, String> {
    let file = File::open(path).map_err(|error| reason(&error))?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| reason(&error))?;
    if bytes.len() as u64 > limit {
        return Err(format!("the file is larger than {} MiB", limit >> 20));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        format!("line {line} isn't UTF-8 text")
    })
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such file".to_owned(),
        ErrorKind::PermissionDenied => "the file may not be read by this process".to_owned(),
        ErrorKind::IsADirectory => "this is a folder, not a file".to_owned(),
        _ => error.to_string(),
    }
}
