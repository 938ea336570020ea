//! `portcullis validate`: every problem of a file in one run, its own tests included.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{OutputArg, print, snippet};
use crate::config::problem::{Problem, Severity};
use crate::server::load;

#[derive(Debug, Args)]
pub struct Validate {
    /// The configuration file
    #[arg(value_name = "FILE", default_value = "gateway.yaml")]
    file: PathBuf,
    /// Fail on warnings, too
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    output: OutputArg,
}

/// What was found, and of a file that can be used: its routes and tests.
struct Found {
    problems: Vec<Problem>,
    counts: Option<(usize, usize)>,
}

pub fn run(args: &Validate) -> Result<(), String> {
    let found = match load::load_tested(&args.file) {
        Ok(loaded) => {
            let policy = &loaded.policy;
            let counts = (policy.routes.routes().len(), policy.tests.len());
            Found { problems: loaded.warnings, counts: Some(counts) }
        }
        Err(problems) => Found { problems, counts: None },
    };
    let warnings = found.problems.iter().filter(|problem| problem.severity == Severity::Warning).count();
    let is_good = found.counts.is_some() && !(args.strict && warnings > 0);
    let summary = summary(args, &found, warnings, is_good);
    if args.output.is_json() {
        let report = json!({
            "file": args.file.display().to_string(),
            "valid": is_good,
            "problems": found.problems,
        });
        print(&format!("{report:#}"))?;
        return if is_good { Ok(()) } else { Err(summary) };
    }
    eprint!("{}", snippet::render(&found.problems));
    if is_good { print(&summary) } else { Err(summary) }
}

fn summary(args: &Validate, found: &Found, warnings: usize, is_good: bool) -> String {
    let file = args.file.display();
    match found.counts {
        Some((routes, tests)) if is_good => {
            format!("{file}: good; {routes} routes, {tests} tests hold, {warnings} warnings")
        }
        Some(_) => format!("{file}: refused by --strict; {warnings} warnings"),
        None => format!("{file}: refused; {} problems, {warnings} warnings", found.problems.len() - warnings),
    }
}
