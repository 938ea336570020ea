//! The house stays in order: who may import whom, and what is tested twice, checked on the source.

use std::fs;
use std::path::{Path, PathBuf};

/// Files under the first may not use anything of the second.
const NEVER: &[(&str, &[&str])] = &[
    ("accounts", &["auth", "pipeline", "gateway", "server", "cli", "pingora", "axum", "http"]),
    ("auth", &["pipeline", "gateway", "server", "cli", "pingora"]),
    ("pipeline", &["auth", "gateway", "server", "cli"]),
    (
        "config",
        &[
            "auth",
            "pipeline",
            "gateway",
            "server",
            "cli",
            "telemetry",
            "store",
            "pingora",
            "sqlx",
            "redis",
            "tokio",
        ],
    ),
    (
        "identity",
        &["auth", "pipeline", "gateway", "server", "cli", "store", "pingora", "sqlx", "redis", "tokio"],
    ),
    ("issuers", &["auth", "pipeline", "gateway", "server", "cli", "store", "pingora", "sqlx", "redis"]),
    (
        "mail",
        &["auth", "pipeline", "gateway", "server", "cli", "store", "telemetry", "pingora", "sqlx", "redis"],
    ),
    ("rehearsal", &["auth", "gateway", "server", "cli"]),
    ("store", &["auth", "pipeline", "gateway", "server", "cli"]),
    ("telemetry", &["auth", "pipeline", "gateway", "server", "cli", "store"]),
    ("exchange.rs", &["auth", "pipeline", "gateway", "server", "cli"]),
    ("rejection.rs", &["auth", "pipeline", "gateway", "server", "cli", "store", "config", "pingora"]),
    ("clock.rs", &["auth", "pipeline", "gateway", "server", "cli", "store", "config", "pingora"]),
    ("gateway.rs", &["server", "cli"]),
    (
        "certificate",
        &["auth", "pipeline", "gateway", "server", "cli", "store", "config", "telemetry", "pingora", "tokio"],
    ),
    ("tls", &["auth", "pipeline", "gateway", "server", "cli", "store", "config", "telemetry"]),
    ("front_door", &["auth", "pipeline", "config", "store", "server", "cli"]),
];

/// Only the outer ring says "Postgres" or "Redis"; the folders name themselves.
const CONCRETE_STORES: &[&str] = &["store::postgres", "store::sqlite", "store::redis", "store::memory"];
const MAY_NAME_STORES: &[&str] = &["server", "store", "cli", "cli.rs"];

/// What a file may use all the same, and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("auth/bridge.rs", "pingora", "it alone turns a session into a request and back"),
    ("pipeline/arrive/meter.rs", "store::memory::Fallback", "counts here while the store is away"),
    ("rehearsal/mod.rs", "store::memory::Fallback", "a meter needs one, and it is never asked"),
];

#[test]
fn nobody_imports_what_lies_further_out() {
    let mut breaches = Vec::new();
    for (file, source) in sources() {
        let used = paths_used(&source);
        for (part, never) in NEVER.iter().filter(|(part, _)| file.starts_with(part)) {
            let forbidden =
                |path: &&String| never.iter().any(|name| is_within(path, name)) && !is_excepted(&file, path);
            breaches.extend(used.iter().filter(forbidden).map(|path| format!("{file} ({part}) uses {path}")));
        }
    }

    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[test]
fn only_the_outer_ring_names_a_concrete_store() {
    let mut breaches = Vec::new();
    for (file, source) in sources() {
        if MAY_NAME_STORES.iter().any(|part| file.starts_with(part)) {
            continue;
        }
        let is_concrete = |path: &&String| {
            CONCRETE_STORES.iter().any(|store| is_within(path, store)) && !is_excepted(&file, path)
        };
        let used = paths_used(&source);
        breaches.extend(used.iter().filter(is_concrete).map(|path| format!("{file} uses {path}")));
    }

    assert!(breaches.is_empty(), "{breaches:#?}");
}

/// Each product file, its path relative to `src`, without its unit tests.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(files.len() > 20, "the sources were not found in {}", root.display());
    let read = |path: PathBuf| {
        let source = fs::read_to_string(&path).expect("it was just listed");
        let product = source.split("#[cfg(test)]\nmod ").next().unwrap_or_default().to_owned();
        let name = path.strip_prefix(&root).expect("it lies there").to_string_lossy().into_owned();
        (name, product)
    };
    files.into_iter().map(read).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Paths from the crate's root (without `crate::`), and the names of other crates, that the code
/// mentions; `{…}` groups taken apart.
fn paths_used(source: &str) -> Vec<String> {
    let code: String = source.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code: String = code.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut paths = Vec::new();
    for (start, _) in code.match_indices("crate::") {
        expand("", &code[start + "crate::".len()..], &mut paths);
    }
    for library in ["axum", "http", "pingora", "sqlx", "redis", "tokio"] {
        let begins = |at: usize| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
        // pingora_core:: and the like belong to pingora.
        let mentions = code.match_indices(library).filter(|(at, _)| {
            let rest =
                code[at + library.len()..].trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
            begins(*at) && rest.starts_with("::")
        });
        paths.extend(mentions.map(|_| library.to_owned()));
    }
    paths
}

/// Adds the path, or the paths of the group, at the start of `text`.
fn expand(prefix: &str, text: &str, paths: &mut Vec<String>) {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(text.len());
    let path = format!("{prefix}{}", &text[..end]);
    match text[end..].strip_prefix('{') {
        Some(group) if path.is_empty() || path.ends_with("::") => {
            for member in members(group) {
                expand(&path, member.trim(), paths);
            }
        }
        _ => paths.push(path),
    }
}

/// The parts between the commas of a group, up to its closing brace.
fn members(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                parts.push(&group[start..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts
}

fn is_excepted(file: &str, path: &str) -> bool {
    EXCEPTIONS.iter().any(|(excepted, used, _)| *excepted == file && is_within(path, used))
}

fn is_within(path: &str, part: &str) -> bool {
    path.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[test]
fn paths_are_found_however_they_are_written() {
    let source = "
        use crate::{store::{Accounts, sqlite::Pool}, clock}; // crate::server is only a word here
        fn run() { crate::auth::router(); pingora_core::start() }
    ";

    assert_eq!(
        paths_used(source),
        ["store::Accounts", "store::sqlite::Pool", "clock", "auth::router", "pingora"]
    );
}

/// Whichever way a request is forwarded.
#[test]
fn every_attack_class_runs_through_both_lanes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gateway");
    let lanes = ["main.rs", "full_lane.rs"].map(|name| fs::read_to_string(folder.join(name)).unwrap());
    let names = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let classes: Vec<String> = names
        .filter_map(|name| Some(name.strip_suffix(".rs")?.to_owned()))
        .filter(|name| name.starts_with("class_"))
        .collect();

    assert!(classes.len() >= 18, "{classes:?}");
    for class in classes {
        assert!(lanes.iter().all(|lane| lane.contains(&format!("\nmod {class};"))), "{class}");
    }
}
