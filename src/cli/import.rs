//! `portcullis user import`: takes over the accounts of another program.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::import_file;
use super::operator::OutputArg;
use super::progress::Progress;
use crate::accounts::roles::{Unknown, unknown};
use crate::auth::administration::Administration;
use crate::auth::import::{ImportProblem, ImportRow};
use crate::identity::vault::Vault;

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// CSV with a header, or a JSON object on each line: username, password_hash, and if you like
    /// id, email, email_verified, roles, totp_secret and disabled
    file: PathBuf,
    /// Write nothing, only say what is wrong with which line
    #[arg(long)]
    dry_run: bool,
    /// Leave out the rows that have a problem and import the others
    #[arg(long)]
    skip_bad: bool,
    /// Let rows make operators of the gateway
    #[arg(long)]
    allow_operators: bool,
}

pub async fn perform(
    args: &ImportArgs,
    administration: &Administration,
    vault: &Vault,
    output: &OutputArg,
) -> Result<(), String> {
    let file = args.file.display();
    let bytes = std::fs::read(&args.file).map_err(|error| format!("{file}: {error}"))?;
    let (rows, mut problems) = import_file::read(&bytes).map_err(|error| format!("{file}: {error}"))?;
    let checked = administration.check_import(rows, args.allow_operators).await;
    let (good, more) = checked.map_err(|error| error.to_string())?;
    problems.extend(more);
    problems.sort_by_key(|problem| problem.line);
    problems.iter().try_for_each(|problem| output.print(&line(problem), &json!(problem)))?;

    tell_new_roles(administration, &good);
    let (count, bad) = (good.len(), problems.len());
    let is_refused = bad > 0 && !args.skip_bad;
    let imported = if is_refused || args.dry_run { 0 } else { count };
    if imported > 0 {
        let progress = Progress::of(count);
        let done = administration.import(good, vault, &|written| progress.show(written)).await;
        progress.clear();
        done.map_err(|error| error.to_string())?;
    }
    let text = format!("{count} good, {bad} bad, {imported} imported");
    output.print(&text, &json!({ "good": count, "bad": bad, "imported": imported }))?;
    match is_refused {
        true => Err("nothing is imported while a row has a problem; --skip-bad leaves such rows out".into()),
        false => Ok(()),
    }
}

fn tell_new_roles(administration: &Administration, rows: &[ImportRow]) {
    let roles: BTreeSet<&String> = rows.iter().flat_map(|row| row.roles.iter().flatten()).collect();
    let roles: Vec<String> = roles.into_iter().cloned().collect();
    for Unknown { role, meant } in unknown(&administration.policy, &roles) {
        let meant = meant.map(|meant| format!("; did you mean {meant:?}?")).unwrap_or_default();
        eprintln!("note: nothing in the configuration names the role {role:?}{meant}");
    }
}

/// What stands in the file is quoted, so that it can't write to the terminal what it likes.
fn line(problem: &ImportProblem) -> String {
    let ImportProblem { line, username, problem } = problem;
    match username {
        Some(username) => format!("line {line}: {username:?}: {problem}"),
        None => format!("line {line}: {problem}"),
    }
}
