//! `portcullis limit`: how far limits are used up, and resets. With Redis the counters are there for every gateway;
//! embedded ones are in the running gateway, which is asked.

use std::net::IpAddr;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::admin_client::{AdminArg, Question, TokenArg, refusal};
use super::operator::OutputArg;
use super::{ConfigArg, block_on};
use crate::config::policy::{Policy, StateStorage};
use crate::server::limit_counters::{self, Report, Subject};
use crate::server::{self, open_stores};

#[derive(Debug, Args)]
pub struct LimitArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    admin: AdminArg,
    #[command(flatten)]
    token: TokenArg,
    #[command(flatten)]
    output: OutputArg,
    #[command(subcommand)]
    command: LimitCommand,
}

#[derive(Debug, Subcommand)]
enum LimitCommand {
    /// Say what is left, and when a refused caller may come again
    Show(Whose),
    /// Let a caller begin anew, at every gateway within a second
    Reset(Whose),
}

#[derive(Debug, Args)]
struct Whose {
    /// A limit of the file; all that count such callers unless given
    limit: Option<String>,
    #[command(flatten)]
    caller: Caller,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Caller {
    /// An account, by name or id
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// An address; one of IPv6 stands for its /64
    #[arg(long, value_name = "IP")]
    address: Option<IpAddr>,
    /// A set of roles, with commas between
    #[arg(long, value_name = "ROLES", value_delimiter = ',')]
    roles: Option<Vec<String>>,
    /// A value of the header or path parameter that a limit counts by
    #[arg(long, value_name = "VALUE")]
    value: Option<String>,
}

pub fn run(args: &LimitArgs) -> Result<(), String> {
    let policy = server::load_policy(&args.config.config)?;
    match &args.command {
        LimitCommand::Show(whose) => {
            let reports = block_on(show(args, &whose.subject(), &policy))??;
            reports.iter().try_for_each(|report| args.output.print(&line(report), &json!(report)))
        }
        LimitCommand::Reset(whose) => {
            let names = block_on(reset(args, &whose.subject(), &policy))??;
            let counted = if names.len() == 1 { "counter" } else { "counters" };
            args.output.print(&format!("{} {counted} reset", names.len()), &json!({ "reset": names }))
        }
    }
}

impl Whose {
    fn subject(&self) -> Subject {
        let Caller { user, address, roles, value } = &self.caller;
        Subject {
            limit: self.limit.clone(),
            user: user.clone(),
            address: *address,
            roles: roles.clone(),
            value: value.clone(),
        }
    }
}

async fn show(args: &LimitArgs, subject: &Subject, policy: &Policy) -> Result<Vec<Report>, String> {
    if is_embedded(policy) {
        let answer = ask(args, "/api/limits/show", subject)?;
        return serde_json::from_value(answer["counters"].clone()).map_err(|error| error.to_string());
    }
    let stores = open_stores::open(policy, false).await.map_err(|error| error.to_string())?;
    let shown = limit_counters::show(subject, policy, &*stores.accounts, &*stores.counters).await;
    shown.map_err(|problem| problem.to_string())
}

async fn reset(args: &LimitArgs, subject: &Subject, policy: &Policy) -> Result<Vec<String>, String> {
    if is_embedded(policy) {
        let answer = ask(args, "/api/limits/reset", subject)?;
        return serde_json::from_value(answer["reset"].clone()).map_err(|error| error.to_string());
    }
    let stores = open_stores::open(policy, false).await.map_err(|error| error.to_string())?;
    let reset = limit_counters::reset(subject, policy, &*stores.accounts, &*stores.counters).await;
    reset.map_err(|problem| problem.to_string())
}

fn is_embedded(policy: &Policy) -> bool {
    matches!(policy.storage.state, StateStorage::Embedded(_))
}

fn ask(args: &LimitArgs, path: &str, subject: &Subject) -> Result<Value, String> {
    let subject = json!(subject);
    let question = Question::post(path, &subject);
    let (status, answer) = args.admin.ask(&args.config.config, args.token.token.as_deref(), &question)?;
    if status == 200 { Ok(answer) } else { Err(refusal(status, &answer)) }
}

fn line(report: &Report) -> String {
    let Report { limit, rate, remaining, retry_seconds, reset_seconds, .. } = report;
    let now = match retry_seconds {
        0 => format!("{remaining} left"),
        seconds => format!("refused for {seconds} s"),
    };
    format!("{limit}\t{rate}\t{now}\tat rest in {reset_seconds} s")
}
