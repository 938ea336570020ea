//! The file that `portcullis user import` reads: CSV with a header, or JSON lines. No message has a
//! piece of a hash in it.

use serde::Deserialize;

use crate::auth::import::{ImportProblem, ImportRow};

type Rows = (Vec<ImportRow>, Vec<ImportProblem>);

const COLUMNS: [&str; 8] =
    ["username", "password_hash", "id", "email", "email_verified", "roles", "totp_secret", "disabled"];

/// One row for each line that can be read, and a problem for each that can't. `Err` if that holds
/// for the file as a whole.
pub fn read(bytes: &[u8]) -> Result<Rows, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match bytes.trim_ascii_start().first() {
        None => Err("the file is empty".to_owned()),
        Some(b'{') => Ok(json_lines(bytes)),
        Some(_) => csv(bytes),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    username: String,
    password_hash: String,
    id: Option<String>,
    email: Option<String>,
    #[serde(default)]
    email_verified: bool,
    roles: Option<Vec<String>>,
    totp_secret: Option<String>,
    #[serde(default)]
    disabled: bool,
}

impl Document {
    fn row(self, line: u64) -> ImportRow {
        ImportRow {
            line,
            username: self.username,
            id: self.id,
            email: self.email,
            email_verified: self.email_verified,
            roles: self.roles,
            password_hash: self.password_hash,
            totp_secret: self.totp_secret,
            disabled: self.disabled,
        }
    }
}

fn json_lines(bytes: &[u8]) -> Rows {
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    for (line, text) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
        if text.trim_ascii().is_empty() {
            continue;
        }
        match serde_json::from_slice::<Document>(text) {
            Ok(document) => rows.push(document.row(line)),
            Err(error) => {
                problems.push(ImportProblem { line, username: None, problem: json_problem(&error) });
            }
        }
    }
    (rows, problems)
}

/// Only the messages that quote no value.
fn json_problem(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let reason = text.split(" at line ").next().unwrap_or_default();
    match ["missing field", "unknown field", "duplicate field"].iter().any(|kind| reason.starts_with(kind)) {
        true => format!("The object isn't as expected: {reason}."),
        false => {
            format!("Not JSON, or a value of the wrong type, at column {}.", error.column())
        }
    }
}

fn csv(bytes: &[u8]) -> Result<Rows, String> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let header = reader.headers().map_err(|_| "the header isn't UTF-8".to_owned())?;
    let header: Vec<_> = header.iter().map(str::to_owned).collect();
    check_header(&header)?;
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    for record in reader.records() {
        let at = match &record {
            Ok(record) => record.position(),
            Err(error) => error.position(),
        };
        let line = at.map_or(0, |at| line_of_record(bytes, at));
        match record.map_err(|error| csv_problem(&error)).and_then(|record| row(&header, &record, line)) {
            Ok(row) => rows.push(row),
            Err(problem) => problems.push(ImportProblem { line, username: None, problem }),
        }
    }
    Ok((rows, problems))
}

fn check_header(header: &[String]) -> Result<(), String> {
    let known = COLUMNS.join(", ");
    if let Some(unknown) = header.iter().find(|column| !COLUMNS.contains(&column.as_str())) {
        return Err(format!("the header has {unknown:?}; the columns are {known}"));
    }
    if let Some(missing) = COLUMNS[..2].iter().find(|column| !header.iter().any(|have| have == *column)) {
        return Err(format!("the header lacks {missing}; the columns are {known}"));
    }
    match (1..header.len()).find(|&at| header[..at].contains(&header[at])) {
        Some(at) => Err(format!("the header has {} twice", header[at])),
        None => Ok(()),
    }
}

/// The reader counts from the end of the record before, so from before empty lines.
fn line_of_record(bytes: &[u8], at: &csv::Position) -> u64 {
    let rest = usize::try_from(at.byte()).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
    let empty = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    at.line() + empty.filter(|&&byte| byte == b'\n').count() as u64
}

fn csv_problem(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("The row has {len} fields and the header {expected_len}.")
        }
        _ => "The row isn't UTF-8.".to_owned(),
    }
}

/// An empty field is one that isn't there.
fn row(header: &[String], record: &csv::StringRecord, line: u64) -> Result<ImportRow, String> {
    let field = |name: &str| {
        let at = header.iter().position(|column| column == name);
        at.and_then(|at| record.get(at)).filter(|field| !field.is_empty())
    };
    let is_true = |name: &str| match field(name).map(str::to_ascii_lowercase).as_deref() {
        None | Some("false" | "0") => Ok(false),
        Some("true" | "1") => Ok(true),
        Some(_) => Err(format!("`{name}` is true or false.")),
    };
    let roles = field("roles").map(|roles| {
        let roles = roles.split([' ', ',', ';']).filter(|role| !role.is_empty());
        roles.map(str::to_owned).collect()
    });
    Ok(ImportRow {
        line,
        username: field("username").unwrap_or_default().to_owned(),
        id: field("id").map(str::to_owned),
        email: field("email").map(str::to_owned),
        email_verified: is_true("email_verified")?,
        roles,
        password_hash: field("password_hash").unwrap_or_default().to_owned(),
        totp_secret: field("totp_secret").map(str::to_owned),
        disabled: is_true("disabled")?,
    })
}
