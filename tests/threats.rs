//! docs/threats.md has a row for every attack class that a test names, and names only files that test it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

#[test]
fn every_class_of_the_tests_has_its_row_and_every_row_its_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tested = tested_classes(&root.join("tests/gateway"));
    let page = fs::read_to_string(root.join("docs/threats.md")).expect("the page is there");
    let rows: BTreeMap<u32, &str> = page.lines().filter_map(row).collect();

    for (class, file) in &tested {
        let row = rows.get(class).unwrap_or_else(|| panic!("class {class} of {file} has no row"));
        assert!(row.contains(file.as_str()), "the row of class {class} doesn't name {file}: {row}");
    }
    for (class, row) in &rows {
        let files = row.split('`').filter(|part| part.starts_with("tests/"));
        for file in files {
            assert!(root.join(file).is_file(), "class {class} names {file}, which isn't there");
        }
    }
    assert!(tested.len() > 100, "the tests were not found");
}

/// `| 36 | …`
fn row(line: &str) -> Option<(u32, &str)> {
    let number = line.strip_prefix("| ")?.split(' ').next()?;
    Some((number.parse().ok()?, line))
}

/// By the names of test functions: `class_36_…`, `class_83_and_84_…`.
fn tested_classes(folder: &Path) -> Vec<(u32, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("a readable entry").path();
        let Ok(source) = fs::read_to_string(&path) else { continue };
        let file = format!("tests/gateway/{}", path.file_name().expect("a file").to_string_lossy());
        for name in source.split("fn class_").skip(1) {
            let mut words = name.split('_');
            let first = words.next().and_then(|word| word.parse().ok()).expect("class_<number>_");
            found.push((first, file.clone()));
            if words.next() == Some("and")
                && let Some(second) = words.next().and_then(|word| word.parse().ok())
            {
                found.push((second, file.clone()));
            }
        }
    }
    found
}
