//! `portcullis tail`: the running gateway's decisions as they are made.

use std::io::BufRead;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::admin_client::{AdminArg, Question, TokenArg, refusal};
use super::{FileArg, OutputArg, print};

/// The gateway sends an empty line more often than this.
const SILENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub struct Tail {
    /// Of this route, by its name
    #[arg(long)]
    route: Option<String>,
    /// allow or deny
    #[arg(long, value_parser = ["allow", "deny"])]
    decision: Option<String>,
    /// With this code, such as role_missing
    #[arg(long)]
    reason: Option<String>,
    /// Of this user, by id or name
    #[arg(long)]
    user: Option<String>,
    /// With this status, such as 403 or 4xx
    #[arg(long)]
    status: Option<String>,
    /// End after so many
    #[arg(short = 'n', long, value_name = "COUNT")]
    lines: Option<usize>,
    #[command(flatten)]
    token: TokenArg,
    #[command(flatten)]
    file: FileArg,
    #[command(flatten)]
    admin: AdminArg,
    #[command(flatten)]
    output: OutputArg,
}

pub fn run(args: &Tail) -> Result<(), String> {
    let path = format!("/api/decisions?{}", filters(args));
    let question = Question { patience: SILENCE, ..Question::get(&path) };
    let mut answer = args.admin.open(args.file.path(), args.token.token.as_deref(), &question)?;
    if answer.status != 200 {
        let status = answer.status;
        return Err(refusal(status, &answer.json()?));
    }
    let (mut seen, mut line) = (0, String::new());
    loop {
        line.clear();
        match answer.body.read_line(&mut line) {
            Ok(0) => break,
            Ok(_) => line.truncate(line.trim_end().len()),
            Err(error) => return Err(answer.wrong(&error.to_string())),
        }
        if line.is_empty() {
            continue;
        }
        print(&if args.output.is_json() { line.clone() } else { for_people(&line) })?;
        seen += 1;
        if args.lines == Some(seen) {
            return Ok(());
        }
    }
    Err("the gateway ended it: it is ending, or the token has expired or was revoked".to_owned())
}

fn filters(args: &Tail) -> String {
    let filters = [
        ("route", &args.route),
        ("decision", &args.decision),
        ("reason", &args.reason),
        ("user", &args.user),
        ("status", &args.status),
    ];
    let filters: Vec<_> = filters.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))).collect();
    serde_urlencoded::to_string(filters).unwrap_or_default()
}

fn for_people(line: &str) -> String {
    let Ok(entry) = serde_json::from_str::<Value>(line) else { return line.to_owned() };
    if let Some(dropped) = entry["dropped"].as_u64() {
        return format!("… {dropped} lines were lost: they came faster than they were read");
    }
    let text = |key: &str| entry[key].as_str().unwrap_or("-").to_owned();
    let observed =
        entry["would_deny"].as_str().map(|code| format!("  would deny: {code}")).unwrap_or_default();
    format!(
        "{}  {} {} {}  {} {}  route {}  user {}  from {}  {} µs{observed}",
        text("time"),
        entry["status"],
        text("method"),
        text("path"),
        text("decision"),
        text("reason"),
        text("route"),
        text("user_id"),
        text("address"),
        entry["duration_us"],
    )
}
