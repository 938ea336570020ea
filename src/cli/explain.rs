//! `portcullis explain`: what would become of a request, and why.

use std::net::IpAddr;

use clap::Args;
use futures::FutureExt;

use super::admin_client::{self, AdminArg, refusal};
use super::{ConfigArg, OutputArg, print, snippet};
use crate::rehearsal::{Caller, Explanation, Question, Rehearsal};
use crate::server::load;

#[derive(Debug, Args)]
pub struct Explain {
    /// GET, POST …
    method: String,
    /// A path with its query, or a URL
    url: String,
    /// An account, by name or id
    #[arg(long, conflicts_with_all = ["token", "anonymous"])]
    user: Option<String>,
    /// May be given several times; with --live and --user: in place of the account's own
    #[arg(long = "role", value_name = "ROLE", conflicts_with_all = ["token", "anonymous"])]
    roles: Vec<String>,
    /// May be given several times
    #[arg(long = "scope", value_name = "SCOPE", conflicts_with_all = ["token", "anonymous"])]
    scopes: Vec<String>,
    /// With a second factor
    #[arg(long, conflicts_with_all = ["token", "anonymous"])]
    mfa: bool,
    /// An access token
    #[arg(long, conflicts_with = "anonymous")]
    token: Option<String>,
    /// Nobody; so it is when nothing else is said
    #[arg(long)]
    anonymous: bool,
    /// Who holds the other end of the connection
    #[arg(long, value_name = "IP")]
    address: Option<IpAddr>,
    /// May be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Ask the running gateway: its policy, keys, accounts and revocations
    #[arg(long)]
    live: bool,
    /// With --live over HTTP: the access token of an operator; the control socket needs none
    #[arg(long, env = "PORTCULLIS_TOKEN", hide_env_values = true)]
    operator_token: Option<String>,
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    admin: AdminArg,
    #[command(flatten)]
    output: OutputArg,
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write it like 'Accept: text/html'")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// Fails if the question can't be asked, not if the request would be refused.
pub fn run(args: &Explain) -> Result<(), String> {
    let question = question(args);
    let explanation = if args.live { ask_gateway(args, &question)? } else { ask_file(args, &question)? };
    if args.output.is_json() {
        let json = serde_json::to_string_pretty(&explanation).map_err(|error| error.to_string())?;
        return print(&json);
    }
    print(explanation.to_string().trim_end())
}

fn question(args: &Explain) -> Question {
    let names_somebody = args.user.is_some() || !args.roles.is_empty() || !args.scopes.is_empty() || args.mfa;
    let caller = match &args.token {
        Some(token) => Caller::Token(token.clone()),
        None if names_somebody => Caller::Account {
            user: args.user.clone(),
            found: None,
            roles: args.roles.clone(),
            scopes: args.scopes.clone(),
            mfa: args.mfa,
        },
        None => Caller::Anonymous,
    };
    Question {
        method: args.method.clone(),
        url: args.url.clone(),
        caller,
        address: args.address,
        headers: args.headers.clone(),
    }
}

/// The file alone knows no accounts.
fn ask_file(args: &Explain, question: &Question) -> Result<Explanation, String> {
    if args.user.is_some() {
        eprintln!(
            "note: without --live no account is read: roles are those of --role, and the id is made of the name"
        );
    }
    let loaded = load::load(&args.config.config).map_err(|problems| snippet::render(&problems))?;
    let rehearsal = Rehearsal::offline(loaded.policy)?;
    let answer = rehearsal.explain(question).now_or_never();
    answer.unwrap_or_else(|| Err("the answer didn't come at once".to_owned()))
}

fn ask_gateway(args: &Explain, question: &Question) -> Result<Explanation, String> {
    let question = serde_json::to_value(question).map_err(|error| error.to_string())?;
    let question = admin_client::Question::post("/api/policy/explain", &question);
    let (status, answer) = args.admin.ask(&args.config.config, args.operator_token.as_deref(), &question)?;
    if status != 200 {
        return Err(refusal(status, &answer));
    }
    serde_json::from_value(answer).map_err(|error| format!("reading the answer: {error}"))
}
