//! `portcullis reload`: the running gateway takes up its file; waits for the outcome and prints it.

use clap::Args;
use serde_json::{Value, json};

use super::admin_client::{AdminArg, Question, TokenArg, refusal};
use super::{FileArg, OutputArg, counted, print};

#[derive(Debug, Args)]
pub struct Reload {
    #[command(flatten)]
    file: FileArg,
    #[command(flatten)]
    admin: AdminArg,
    #[command(flatten)]
    token: TokenArg,
    #[command(flatten)]
    output: OutputArg,
}

/// Fails when the gateway kept its old policy.
pub fn run(args: &Reload) -> Result<(), String> {
    let order = json!({});
    let question = Question::post("/api/policy/reload", &order);
    let token = args.token.token.as_deref();
    let (status, outcome) = args.admin.ask(args.file.path(), token, &question)?;
    let is_good = status == 200;
    if !is_good && outcome["last_try"].is_null() {
        return Err(refusal(status, &outcome));
    }
    if args.output.is_json() {
        print(&format!("{outcome:#}"))?;
        return if is_good { Ok(()) } else { Err("refused; the running policy stays".to_owned()) };
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if is_good {
        let routes = usize::try_from(outcome["routes"].as_u64().unwrap_or_default()).unwrap_or(usize::MAX);
        return print(&format!("in force: {} with {}", text(&outcome["digest"]), counted(routes, "route")));
    }
    let problems = outcome["last_try"]["problems"].as_array().cloned().unwrap_or_default();
    let lines: Vec<String> = problems.iter().map(|problem| text(&problem["text"])).collect();
    Err(format!("{}\nrefused; the running policy stays: {}", lines.join("\n"), text(&outcome["digest"])))
}
