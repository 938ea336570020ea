//! Broken files and what is said of each, as an operator sees it. A file `NAME.yaml` in `corpus/` has its
//! problems in `NAME.txt`. `PORTCULLIS_WRITE_CORPUS=1` writes them anew, for a person to read.

use std::fs;
use std::path::{Path, PathBuf};

use portcullis::server::load;

use crate::surroundings::{said, tested};

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/corpus");
    let entries = fs::read_dir(folder).expect("it lies beside this file");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files
}

#[test]
fn every_broken_file_is_told_what_is_wrong_with_it() {
    let writes = std::env::var_os("PORTCULLIS_WRITE_CORPUS").is_some();
    let files = files();
    let mut differing = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).expect("it was just listed");
        let said = said(&tested(&text));
        let expected = file.with_extension("txt");
        if writes {
            fs::write(&expected, &said).expect("writable");
        }
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        if said.is_empty() || said != expected {
            differing.push(format!("{}:\n{said}--- expected\n{expected}", file.display()));
        }
    }

    assert!(files.len() >= 60, "only {} files", files.len());
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

/// Folders with a gateway.yaml that includes others; what is said is in `said.txt`.
#[test]
fn every_broken_set_of_files_is_told_what_is_wrong_and_where() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/corpus");
    let entries = fs::read_dir(corpus).expect("it lies beside this file");
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    let mut differing = Vec::new();
    for folder in &folders {
        let found = load::load_tested(&folder.join("gateway.yaml")).expect_err("it is broken");
        let said = said(&found).replace(&format!("{}/", folder.display()), "");
        let expected = folder.join("said.txt");
        if std::env::var_os("PORTCULLIS_WRITE_CORPUS").is_some() {
            fs::write(&expected, &said).expect("writable");
        }
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        if said != expected {
            differing.push(format!("{}:\n{said}--- expected\n{expected}", folder.display()));
        }
    }

    assert!(folders.len() >= 6, "only {} folders", folders.len());
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}
