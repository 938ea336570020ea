//! Reads gateway.yaml and what it refers to: the only file that names the environment and the file
//! system for the configuration.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::config::compile::{Compiled, compile};
use crate::config::document::Document;
use crate::config::include;
use crate::config::policy::{ControlSocket, UserStorage};
use crate::config::problem::{Problem, Problems};
use crate::config::substitute::{Surroundings, substitute};
use crate::config::unchanged_routes::LastReading;
use crate::rehearsal;

const MAX_FILE_BYTES: u64 = 16 << 20;
/// Of a file that gateway.yaml includes.
const MAX_INCLUDED_BYTES: u64 = 4 << 20;
/// Secrets and certificates.
const MAX_REFERENCED_BYTES: u64 = 1 << 20;

/// The policy of the file at `path`, or everything that is wrong with it.
pub fn load(path: &Path) -> Result<Compiled, Vec<Problem>> {
    load_beside(path, None, false)
}

/// The same, if its own `tests:` hold.
pub fn load_tested(path: &Path) -> Result<Compiled, Vec<Problem>> {
    load(path).and_then(test)
}

/// The same once more: what stands in the file as in `last` isn't read again. Afterwards `last` is this reading, if
/// the file could be used.
pub fn load_tested_again(path: &Path, last: &mut Option<LastReading>) -> Result<Compiled, Vec<Problem>> {
    let mut compiled = load_beside(path, last.as_ref(), true)?;
    *last = compiled.reading.take();
    test(compiled)
}

fn load_beside(path: &Path, last: Option<&LastReading>, is_again: bool) -> Result<Compiled, Vec<Problem>> {
    let name = path.display().to_string();
    let machine = Machine { folder: folder_of(path), is_again };
    let text = machine.read(path, MAX_FILE_BYTES);
    let text = text.map_err(|reason| vec![Problem::with_file(&name, reason)])?;
    load_text_beside(&name, &text, last, &machine)
}

/// Where relative paths of the file begin. One that comes through a pipe, as from `<(…)` of a shell, has no folder.
fn folder_of(path: &Path) -> PathBuf {
    match is_readable_again(path) {
        true => path.parent().map(Path::to_path_buf).unwrap_or_default(),
        false => PathBuf::new(),
    }
}

/// Whether the path names a file, and not a pipe whose content is there once.
pub fn is_readable_again(path: &Path) -> bool {
    std::fs::metadata(path).map_or(true, |found| found.is_file())
}

/// What a file is refused for that is read again and brings nothing that somebody has written meanwhile.
const REPLACED: &str = "another file took its place outside, and what this process sees is the old one: mount the \
    folder that the file lies in, not the file, or change the file in place";

/// Whether the name leads to a file that has no name any more. A container that a single file is mounted into keeps
/// seeing the file of before when another one takes its place outside.
fn is_replaced_elsewhere(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.nlink() == 0)
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

/// Where the gateway of a file is reached, as far as the file says. It may be wrong elsewhere: whoever mends
/// it wants to reach the gateway.
pub struct Reach {
    pub admin: Option<SocketAddr>,
    pub control: PathBuf,
}

impl Reach {
    pub fn of(path: &Path) -> Self {
        let text = read_text(path, MAX_FILE_BYTES).ok();
        let document = text.and_then(|text| Document::read("", &text).ok());
        let machine = Machine::beside(path);
        let said = |section: &str, key: &str| {
            let mut value = document.as_ref()?.tree.get(section)?.get(key)?.clone();
            substitute(&mut value, &machine, &mut Problems::default());
            value.as_str().map(str::to_owned)
        };
        let control = said("listen", "control").map(|path| machine.locate(&path));
        let users = said("storage", "users");
        let users = users.and_then(|url| Some(UserStorage::Sqlite(url.strip_prefix("sqlite://")?.into())));
        Self {
            admin: said("listen", "admin").and_then(|admin| admin.parse().ok()),
            control: control.unwrap_or_else(|| ControlSocket::beside(users.as_ref())),
        }
    }
}

/// The same for a text that is already there; `name` is what problems begin with.
pub fn load_text(name: &str, text: &str, surroundings: &dyn Surroundings) -> Result<Compiled, Vec<Problem>> {
    load_text_beside(name, text, None, surroundings)
}

/// The same; what stands in the text as in `last` isn't read again.
pub fn load_text_beside(
    name: &str,
    text: &str,
    last: Option<&LastReading>,
    surroundings: &dyn Surroundings,
) -> Result<Compiled, Vec<Problem>> {
    let document = include::follow(Document::read_again(name, text, last)?, surroundings)?;
    compile(document, surroundings)
}

/// The patterns of the `include:` of a file with this text, as paths that this process can open.
pub fn included_patterns(path: &Path, text: &[u8]) -> Vec<PathBuf> {
    let machine = Machine::beside(path);
    // Reading a long file only to find that it has no such key would be felt.
    let text = std::str::from_utf8(text).ok().filter(|text| text.contains("include"));
    let Some(document) = text.and_then(|text| Document::read("", text).ok()) else {
        return Vec::new();
    };
    let patterns = include::patterns(&document, &machine);
    patterns.into_iter().map(|(_, pattern)| machine.locate(&pattern)).collect()
}

/// The certificates and keys that the listeners of a file with this text serve, as paths that this process can open.
pub fn certificate_files(path: &Path, text: &[u8]) -> Vec<PathBuf> {
    let machine = Machine::beside(path);
    let text = std::str::from_utf8(text).ok().filter(|text| text.contains("tls"));
    let Some(document) = text.and_then(|text| Document::read("", text).ok()) else { return Vec::new() };
    let listeners = document.tree.get("listen").and_then(|listen| listen.get("proxy")?.as_array());
    let tls = listeners.into_iter().flatten().filter_map(|listener| listener.get("tls"));
    let given = tls.flat_map(|tls| [tls.get("cert"), tls.get("key")]).flatten();
    given.filter_map(|given| named_file(given, &machine)).collect()
}

/// The file behind a path or a `{ file: path }`.
fn named_file(given: &Value, machine: &Machine) -> Option<PathBuf> {
    let mut path = given.get("file").unwrap_or(given).clone();
    substitute(&mut path, machine, &mut Problems::default());
    let path = path.as_str().filter(|path| !path.contains("-----BEGIN"))?;
    Some(machine.locate(path))
}

/// The files that a pattern names, in order.
pub fn matching_files(pattern: &Path) -> Result<Vec<PathBuf>, String> {
    let Some(name) = pattern.file_name().and_then(|name| name.to_str()).filter(|name| name.contains('*'))
    else {
        // Whether it is there shows when it is read.
        return Ok(vec![pattern.to_path_buf()]);
    };
    let folder = pattern.parent().unwrap_or(Path::new(""));
    let entries = match std::fs::read_dir(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
    {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(reason(&error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| reason(&error))?.file_name();
        let file = folder.join(&entry);
        if entry.to_str().is_some_and(|entry| include::fits(name, entry)) && is_wanted(&file) {
            files.push(file);
        }
        if files.len() > include::MAX_FILES {
            return Err(format!("more than {} files fit", include::MAX_FILES));
        }
    }
    files.sort();
    Ok(files)
}

/// What isn't a folder. A link that leads nowhere, or where this process may not look, is wanted and then refused:
/// routes that are silently missing would be 404.
fn is_wanted(file: &Path) -> bool {
    match std::fs::metadata(file) {
        Ok(found) => found.is_file(),
        // One that has just gone isn't there any more.
        Err(_) => std::fs::symlink_metadata(file).is_ok(),
    }
}

/// One line per problem.
pub fn render(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

/// The real environment and file system.
pub struct Machine {
    /// Where gateway.yaml lies; paths in it are relative to this.
    pub folder: PathBuf,
    /// Whether the running gateway reads its files once more.
    is_again: bool,
}

impl Machine {
    fn beside(path: &Path) -> Self {
        Self { folder: path.parent().map(Path::to_path_buf).unwrap_or_default(), is_again: false }
    }

    fn read(&self, path: &Path, limit: u64) -> Result<String, String> {
        match self.is_again && is_replaced_elsewhere(path) {
            true => Err(REPLACED.to_owned()),
            false => read_text(path, limit),
        }
    }
}

impl Surroundings for Machine {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &str) -> Result<String, String> {
        self.read(&self.locate(path), MAX_REFERENCED_BYTES)
    }

    fn matching(&self, pattern: &str) -> Result<Vec<String>, String> {
        if Path::new(pattern).parent().is_some_and(|folder| folder.to_string_lossy().contains('*')) {
            return Err("`*` may stand in the name of the file, and not in that of a folder".to_owned());
        }
        let files = matching_files(&self.locate(pattern))?;
        // Joined to the folder again, they are the same.
        let relative =
            |file: &PathBuf| Some(file.strip_prefix(&self.folder).unwrap_or(file).to_str()?.to_owned());
        Ok(files.iter().filter_map(relative).collect())
    }

    fn included(&self, path: &str) -> Result<String, String> {
        self.read(&self.locate(path), MAX_INCLUDED_BYTES)
    }

    fn locate(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }
}

/// The whole file, up to `limit` bytes. `Err` is a reason for people.
fn read_text(path: &Path, limit: u64) -> Result<String, String> {
    let file = File::open(path).map_err(|error| match std::fs::read_link(path) {
        Ok(target) if error.kind() == ErrorKind::NotFound => {
            format!("this link leads to {}, which isn't there", target.display())
        }
        _ => reason(&error),
    })?;
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
