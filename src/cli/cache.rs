//! `portcullis cache`: purges, and what the cache holds. With Redis a purge goes straight into the log
//! that all gateways follow; an embedded cache is in the running gateway, which is asked by its
//! admin port.

use clap::{Args, Subcommand};

use super::health::ask;
use super::{ConfigArg, block_on, print};
use crate::config::policy::{Policy, StateStorage};
use crate::server::{self, open_stores};
use crate::store::Purge;

#[derive(Debug, Args)]
pub struct CacheArgs {
    #[command(flatten)]
    config: ConfigArg,
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
    let policy = server::load_policy(&args.config.config)?;
    match &args.command {
        CacheCommand::Purge(purge) => block_on(perform(purge, &policy))?,
        CacheCommand::Stats => {
            let answer = ask(policy.listen.admin, "GET", "/cache/stats", "")?;
            print(answer.body())
        }
    }
}

async fn perform(args: &PurgeArgs, policy: &Policy) -> Result<(), String> {
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
    match policy.storage.state {
        StateStorage::Redis { .. } => stores.purges.purge(&what).await.map_err(|error| error.to_string())?,
        StateStorage::Embedded(_) => {
            let body = serde_json::to_string(&what).map_err(|error| error.to_string())?;
            let answer = ask(policy.listen.admin, "POST", "/cache/purge", &body)?;
            if !answer.is_ok() {
                return Err(format!("the gateway refused: {}", answer.body()));
            }
        }
    }
    print("purged")
}
