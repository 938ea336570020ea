//! docs/configuration.md names every key, and no others.

use std::collections::BTreeSet;

use portcullis::config::raw::{Gateway, Reader, Wrong};
use serde::Deserialize;
use serde_json::{Value, json};

const PROBE: &str = "no such key";

#[test]
fn every_key_is_documented_and_every_documented_key_exists() {
    let mut accepted = BTreeSet::new();
    collect_keys(String::new(), &|value| value, &mut accepted);
    let documented = documented_keys(include_str!("../../docs/configuration.md"));

    let undocumented: Vec<_> = accepted.difference(&documented).collect();
    let invented: Vec<_> = documented.difference(&accepted).collect();

    assert!(accepted.len() > 80, "the probe found {accepted:?}");
    assert_eq!((undocumented, invented), (vec![], vec![]));
}

/// Asks the reader itself: a key it can't know makes it name those that it does.
fn collect_keys(path: String, place: &dyn Fn(Value) -> Value, found: &mut BTreeSet<String>) {
    if !path.is_empty() && !path.ends_with(['>', ']']) {
        found.insert(path.clone());
    }
    if let Some(keys) = known_keys(&place(json!({ PROBE: null }))) {
        for &key in keys {
            let child = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            collect_keys(child, &|value| place(json!({ key: value })), found);
        }
    } else if is_accepted(&place(json!({ PROBE: null }))) {
        collect_keys(format!("{path}.<name>"), &|value| place(json!({ "name": value })), found);
    } else if known_keys(&place(json!([{ PROBE: null }]))).is_some() {
        collect_keys(format!("{path}[]"), &|value| place(json!([value])), found);
    }
}

fn known_keys(tree: &Value) -> Option<&'static [&'static str]> {
    match Gateway::deserialize(Reader(tree)).err()?.wrong {
        Wrong::Key { key, known } if key == PROBE => Some(known),
        _ => None,
    }
}

fn is_accepted(tree: &Value) -> bool {
    Gateway::deserialize(Reader(tree)).is_ok()
}

/// The first column of every table whose rows begin with a key.
fn documented_keys(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|key| !key.ends_with(['>', ']']))
        .map(str::to_owned)
        .collect()
}
