//! Problems with the line of the file that each is about, underlined.

use std::collections::HashMap;

use codespan_reporting::diagnostic::{Diagnostic, Label};
use codespan_reporting::files::SimpleFile;
use codespan_reporting::term::{Config, emit_into_string};

use crate::config::marks::Position;
use crate::config::problem::{Problem, Severity};

/// Longer lines aren't shown.
const MAX_LINE: usize = 400;

/// All problems, one below the other. Files are read again; what isn't there any more is left out.
pub fn render(problems: &[Problem]) -> String {
    let mut sources: HashMap<&str, Option<String>> = HashMap::new();
    let mut text = String::new();
    for problem in problems {
        let source =
            sources.entry(&problem.file).or_insert_with(|| std::fs::read_to_string(&problem.file).ok());
        let shown = source.as_deref().and_then(|source| underline(problem, source));
        text.push_str(&shown.unwrap_or_else(|| format!("{}: {problem}\n", severity(problem))));
        text.push('\n');
    }
    text
}

fn severity(problem: &Problem) -> &'static str {
    match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// `None` if the line isn't there, or had better not be seen.
fn underline(problem: &Problem, source: &str) -> Option<String> {
    let Position { line, column } = problem.position?;
    let source = source.trim_start_matches('\u{feff}');
    let shown = source.lines().nth(line.checked_sub(1)?)?;
    if shown.len() > MAX_LINE || may_hold_secret(shown) || is_secret(problem) {
        return None;
    }
    let start_of_line = shown.as_ptr() as usize - source.as_ptr() as usize;
    let at = |chars: usize| shown.char_indices().nth(chars).map_or(shown.len(), |(at, _)| at);
    let start = at(column.saturating_sub(1));
    let end = at(column.saturating_sub(1) + problem.width);
    let end = start + shown[start..end].trim_end().len();
    let message = match problem.path.is_root() {
        true => problem.message.clone(),
        false => format!("{}: {}", problem.path, problem.message),
    };
    let diagnostic = match problem.severity {
        Severity::Error => Diagnostic::error(),
        Severity::Warning => Diagnostic::warning(),
    };
    let label = Label::primary((), start_of_line + start..start_of_line + end.max(start));
    let diagnostic = diagnostic.with_message(message).with_labels(vec![label]);
    let file = SimpleFile::new(&problem.file, source);
    emit_into_string(&Config::default(), &file, &diagnostic).ok()
}

/// What is said of secrets never shows them, whatever the line looks like.
fn is_secret(problem: &Problem) -> bool {
    let path = problem.path.to_string();
    (path.starts_with("tokens.keys") && (path.ends_with(".secret") || path.ends_with(".key")))
        || path.starts_with("storage.")
}

/// Whether a secret stands in the line itself, and not only a reference to one.
fn may_hold_secret(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    let literal = ["secret", "password", "key"].iter().any(|word| {
        lower.match_indices(word).any(|(at, _)| {
            let value = lower[at + word.len()..].trim_start_matches(['"', '\'']);
            let Some(value) = value.strip_prefix(':') else { return false };
            let value = value.trim_start().trim_start_matches(['"', '\'']);
            !value.is_empty()
                && !value.starts_with("${")
                && !value.starts_with('{')
                && !value.starts_with('#')
        })
    });
    literal || (lower.contains("://") && lower.contains('@')) || lower.contains("private key")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_secrets_are_not_shown_and_references_are() {
        for line in
            ["secret: abc", "{ id: k, secret: \"abc\" }", "users: postgres://u:p@h/d", "\"secret\": abc"]
        {
            assert!(may_hold_secret(line), "{line}");
        }
        for line in
            ["secret: \"${S}\"", "key: { file: k.pem }", "secret:", "password: { min_length: 8 }", "path: /a"]
        {
            assert!(!may_hold_secret(line), "{line}");
        }
    }
}
