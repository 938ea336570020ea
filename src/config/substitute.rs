//! `${VAR}`, `${VAR:-default}` and `{ file: path }`: values that come from outside the file.

use serde_json::Value;

use super::place::Place;
use super::problem::Problems;
use crate::pace;

/// What a configuration may ask of the machine. `server::load` has the real one.
pub trait Surroundings {
    /// An environment variable; `None` if it isn't set.
    fn variable(&self, name: &str) -> Option<String>;
    /// The text of a file, its path relative to the folder of gateway.yaml. `Err` says why not.
    fn file(&self, path: &str) -> Result<String, String>;
    /// The path as this process must open it.
    fn locate(&self, path: &str) -> std::path::PathBuf;
    /// The files that a pattern of `include:` names, in order; none if there are none so far.
    fn matching(&self, _pattern: &str) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }
    /// The text of such a file, which may be larger than what a value stands for.
    fn included(&self, path: &str) -> Result<String, String> {
        self.file(path)
    }
}

/// Replaces every reference in `tree`. What can't be resolved becomes null and a problem.
pub fn substitute(tree: &mut Value, surroundings: &dyn Surroundings, problems: &mut Problems) {
    replace(tree, &Place::Root, surroundings, problems);
}

fn replace(value: &mut Value, at: &Place<'_>, surroundings: &dyn Surroundings, problems: &mut Problems) {
    pace::step();
    match value {
        Value::String(text) if may_refer(text) => match expand(text, surroundings, problems) {
            Ok(expanded) => *text = expanded,
            Err(message) => {
                problems.error(at, message);
                *value = Value::Null;
            }
        },
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                replace(item, &at.item(index), surroundings, problems);
            }
        }
        Value::Object(entries) => {
            for (key, entry) in entries.iter_mut() {
                replace(entry, &at.key(key), surroundings, problems);
            }
            if entries.len() == 1 && entries.contains_key("file") {
                *value = read_file(&entries["file"], at, surroundings, problems);
            }
        }
        _ => {}
    }
}

/// The search for one byte is far quicker than that for two, and nearly all texts end there.
fn may_refer(text: &str) -> bool {
    text.contains('$') && text.contains("${")
}

/// The text with every reference replaced; `$${` stands for `${` itself.
fn expand(text: &str, surroundings: &dyn Surroundings, problems: &mut Problems) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find("${") {
        if rest[..dollar].ends_with('$') {
            expanded.push_str(&rest[..dollar]);
            expanded.push('{');
            rest = &rest[dollar + 2..];
            continue;
        }
        expanded.push_str(&rest[..dollar]);
        let Some(length) = rest[dollar..].find('}') else {
            return Err("`${` has no `}`; write `$${` for the two characters themselves".to_owned());
        };
        expanded.push_str(&resolve(&rest[dollar + 2..dollar + length], surroundings, problems)?);
        rest = &rest[dollar + length + 1..];
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// One reference without its braces: `VAR` or `VAR:-default`. As in a shell, the default also
/// stands in for an empty variable.
fn resolve(
    reference: &str,
    surroundings: &dyn Surroundings,
    problems: &mut Problems,
) -> Result<String, String> {
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    if !is_variable_name(name) {
        return Err(format!(
            "`${{{reference}}}` isn't a reference; write `${{NAME}}` or `${{NAME:-default}}`"
        ));
    }
    match (surroundings.variable(name), default) {
        (Some(value), _) if !value.is_empty() => {
            problems.conceal(&value, format!("${{{name}}}"));
            Ok(value)
        }
        (_, Some(default)) => Ok(default.to_owned()),
        (Some(empty), None) => Ok(empty),
        (None, None) => Err(format!(
            "the environment variable {name} isn't set; set it, or give a default: `${{{name}:-…}}`"
        )),
    }
}

fn is_variable_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The content of the file, without newlines at its end; null if there is a problem with it.
fn read_file(
    path: &Value,
    at: &Place<'_>,
    surroundings: &dyn Surroundings,
    problems: &mut Problems,
) -> Value {
    let Value::String(path) = path else {
        if !problems.is_known(&at.key("file")) {
            problems.error(&at.key("file"), "expected the path of a file");
        }
        problems.excuse(at.path());
        return Value::Null;
    };
    match surroundings.file(path) {
        Ok(text) => {
            let text = text.trim_end_matches(['\r', '\n']);
            problems.conceal(text, format!("{{ file: {path} }}"));
            Value::String(text.to_owned())
        }
        Err(reason) => {
            problems.error(at, format!("{path}: {reason}"));
            Value::Null
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    struct Fixed;

    impl Surroundings for Fixed {
        fn variable(&self, name: &str) -> Option<String> {
            match name {
                "NAME" => Some("value".to_owned()),
                "EMPTY" => Some(String::new()),
                _ => None,
            }
        }

        fn file(&self, path: &str) -> Result<String, String> {
            if path == "secret" { Ok("s3cret\r\n".to_owned()) } else { Err("no such file".to_owned()) }
        }

        fn locate(&self, path: &str) -> PathBuf {
            path.into()
        }
    }

    #[test]
    fn references_are_replaced_within_a_larger_string() {
        let cases = [
            ("${NAME}", "value"),
            ("a-${NAME}-b-${NAME}", "a-value-b-value"),
            ("${MISSING:-other}", "other"),
            ("${MISSING:-}", ""),
            ("${EMPTY:-other}", "other"),
            ("${EMPTY}", ""),
            ("${NAME:-other}", "value"),
            ("$${NAME}", "${NAME}"),
            ("a$b $ {NAME} 5$", "a$b $ {NAME} 5$"),
        ];

        for (text, expected) in cases {
            let expanded = expand(text, &Fixed, &mut Problems::default());
            assert_eq!(expanded.as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_reference_that_leads_nowhere_is_refused() {
        for text in ["${MISSING}", "${NAME", "${}", "${1A}", "${NAME:?no}", "${A B}"] {
            assert!(expand(text, &Fixed, &mut Problems::default()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_file_stands_for_its_text_without_the_last_newline() {
        let mut tree = serde_json::json!({ "key": { "file": "secret" }, "other": { "file": "none" } });
        let mut problems = Problems::default();

        substitute(&mut tree, &Fixed, &mut problems);

        assert_eq!(tree, serde_json::json!({ "key": "s3cret", "other": null }));
        assert!(problems.is_known(&Place::Root.key("other")));
        assert!(!problems.is_known(&Place::Root.key("key")));
    }
}
