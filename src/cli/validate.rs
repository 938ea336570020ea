//! `portcullis validate`: every problem of a file in one run, its own tests included.

use clap::Args;
use serde_json::json;

use super::{FileArg, OutputArg, counted, print, snippet};
use crate::config::problem::{Problem, Severity};
use crate::server::load;

#[derive(Debug, Args)]
pub struct Validate {
    #[command(flatten)]
    file: FileArg,
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
    let found = match load::load_tested(args.file.path()) {
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
            "file": args.file.path().display().to_string(),
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
    let file = args.file.path().display();
    match found.counts {
        Some((routes, tests)) if is_good => {
            let holding = if tests == 1 { "holds" } else { "hold" };
            let (routes, tests) = (counted(routes, "route"), counted(tests, "test"));
            format!("{file}: good; {routes}, {tests} {holding}, {}", counted(warnings, "warning"))
        }
        Some(_) => format!("{file}: refused by --strict; {}", counted(warnings, "warning")),
        None => {
            let problems = counted(found.problems.len() - warnings, "problem");
            format!("{file}: refused; {problems}, {}", counted(warnings, "warning"))
        }
    }
}
