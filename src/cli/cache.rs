//! `portcullis cache`: purges, and what the cache holds. With Redis a purge goes straight into the log
//! that all gateways follow; an embedded cache is in the running gateway, which is asked.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::admin_client::{AdminArg, Question, TokenArg, refusal};
use super::{ConfigArg, block_on, print};
use crate::config::policy::{Policy, StateStorage};
use crate::server::{self, open_stores};
use crate::store::Purge;

#[derive(Debug, Args)]
pub struct CacheArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    admin: AdminArg,
    #[command(flatten)]
    token: TokenArg,
    #[command(subcommand)]
    command: CacheCommand,
}

#[derive(Debug, Subcommand)]
enum CacheCommand {
    /// Let no gateway serve certain stored answers any more
    Purge(PurgeArgs),
    /// What the running gateway's cache holds, as JSON
    Stats,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct PurgeArgs {
    /// All answers of the route with this name
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// All answers whose path begins so
    #[arg(long, value_name = "PATH")]
    prefix: Option<String>,
    /// The answers kept for one user, by name or id
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// All answers that the upstream gave this Cache-Tag or Surrogate-Key
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// All answers
    #[arg(long)]
    everything: bool,
}

pub fn run(args: &CacheArgs) -> Result<(), String> {
    match &args.command {
        CacheCommand::Purge(purge) => {
            let policy = server::load_policy(&args.config.config)?;
            block_on(perform(args, purge, &policy))?
        }
        CacheCommand::Stats => print(&ask(args, &Question::get("/api/cache/stats"))?.to_string()),
    }
}

fn ask(args: &CacheArgs, question: &Question<'_>) -> Result<Value, String> {
    let token = args.token.token.as_deref();
    let (status, answer) = args.admin.ask(&args.config.config, token, question)?;
    if status == 200 { Ok(answer) } else { Err(refusal(status, &answer)) }
}

async fn perform(cache: &CacheArgs, args: &PurgeArgs, policy: &Policy) -> Result<(), String> {
    let stores = open_stores::open(policy, false).await.map_err(|error| error.to_string())?;
    let what = match args {
        PurgeArgs { route: Some(name), .. } => Purge::Route(name.clone()),
        PurgeArgs { prefix: Some(prefix), .. } => Purge::Prefix(prefix.clone()),
        PurgeArgs { tag: Some(tag), .. } => Purge::Tag(tag.clone()),
        PurgeArgs { user: Some(user), .. } => Purge::User(match user.parse() {
            Ok(id) => id,
            Err(_) => {
                let found = stores.accounts.find_by_username(user).await;
                found.map_err(|error| error.to_string())?.ok_or("there is no such account")?.id
            }
        }),
        _ => Purge::Everything,
    };
    let what = what.check()?;
    server::check_purge(&what, policy)?;
    match policy.storage.state {
        StateStorage::Redis { .. } => stores.purges.purge(&what).await.map_err(|error| error.to_string())?,
        StateStorage::Embedded(_) => {
            let what = serde_json::to_value(&what).map_err(|error| error.to_string())?;
            ask(cache, &Question::post("/api/cache/purge", &what))?;
        }
    }
    print("purged")
}
