//! `portcullis diff`: what changes for whom between two files, or the running gateway and a file.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::admin_client::{AdminArg, Question, TokenArg, refusal};
use super::{ConfigArg, OutputArg, print, snippet};
use crate::rehearsal::difference::{Change, Kind, compare};
use crate::rehearsal::shape::Shape;
use crate::server::load;

#[derive(Debug, Args)]
pub struct Diff {
    /// The old file, or with --live the new one
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The new file
    #[arg(value_name = "NEW", required_unless_present = "live", conflicts_with = "live")]
    new: Option<PathBuf>,
    /// Compare the running gateway with the file
    #[arg(long)]
    live: bool,
    /// Fail when something becomes public, looser, or changes at all
    #[arg(long, value_enum)]
    fail_on: Option<FailOn>,
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    admin: AdminArg,
    #[command(flatten)]
    token: TokenArg,
    #[command(flatten)]
    output: OutputArg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    Public,
    /// Anybody may do more than before
    Looser,
    Any,
}

pub fn run(args: &Diff) -> Result<(), String> {
    let (old, new) = match &args.new {
        Some(new) => (shape(&args.old)?, shape(new)?),
        None => (running(args)?, shape(&args.old)?),
    };
    let changes = compare(&old, &new)?;
    if args.output.is_json() {
        print(&format!("{:#}", json!({ "old": old.digest, "new": new.digest, "changes": changes })))?;
    } else if changes.is_empty() {
        print("nothing changes for any request")?;
    } else {
        let lines: Vec<String> = changes.iter().map(Change::to_string).collect();
        print(&lines.join("\n"))?;
    }
    let failing = changes.iter().filter(|change| fails(change.kind, args.fail_on)).count();
    if failing == 0 { Ok(()) } else { Err(format!("{failing} changes of the kind that --fail-on names")) }
}

fn fails(kind: Kind, fail_on: Option<FailOn>) -> bool {
    match fail_on {
        None => false,
        Some(FailOn::Public) => kind == Kind::Public,
        Some(FailOn::Looser) => kind.is_looser(),
        Some(FailOn::Any) => true,
    }
}

fn shape(path: &Path) -> Result<Shape, String> {
    let loaded = load::load(path).map_err(|problems| snippet::render(&problems))?;
    Ok(Shape::of(&loaded.policy))
}

fn running(args: &Diff) -> Result<Shape, String> {
    let token = args.token.token.as_deref();
    let question = Question::get("/api/policy/routes");
    let (status, shape) = args.admin.ask(&args.config.config, token, &question)?;
    if status != 200 {
        return Err(refusal(status, &shape));
    }
    serde_json::from_value(shape).map_err(|error| format!("reading the answer: {error}"))
}
