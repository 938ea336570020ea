//! `portcullis key`: personal API keys, and ending them.

use clap::{Args, Subcommand};
use serde_json::json;
use uuid::Uuid;

use super::operator::{self, OutputArg};
use super::{ConfigArg, block_on};
use crate::auth::administration::Administration;
use crate::auth::described;
use crate::clock::Timestamp;
use crate::identity::api_key;
use crate::store::ApiKey;

const PAGE: u32 = 200;

#[derive(Debug, Args)]
pub struct KeyArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    output: OutputArg,
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// List the API keys of an account, or of every account
    List {
        #[arg(required_unless_present = "all")]
        user: Option<String>,
        #[arg(long, conflicts_with = "user")]
        all: bool,
    },
    /// End an API key, or all of an account, at every gateway
    Revoke {
        /// Its id, or the key itself
        #[arg(required_unless_present = "user")]
        key: Option<String>,
        /// Every API key of this account
        #[arg(long, conflicts_with = "key")]
        user: Option<String>,
    },
}

pub fn run(args: &KeyArgs) -> Result<(), String> {
    block_on(async {
        let administration = operator::administration(&args.config).await?;
        let done = perform(&args.command, &administration, &args.output).await;
        operator::finish(&administration, &args.config).await;
        done
    })?
}

async fn perform(
    command: &KeyCommand,
    administration: &Administration,
    output: &OutputArg,
) -> Result<(), String> {
    match command {
        KeyCommand::List { user: Some(user), .. } => {
            let keys = administration.keys(user).await.map_err(|error| error.to_string())?;
            keys.into_iter().try_for_each(|named| show(named, administration, output))
        }
        KeyCommand::List { .. } => list_all(administration, output).await,
        KeyCommand::Revoke { user: Some(user), .. } => {
            let ended = administration.end_keys(user).await.map_err(|error| error.to_string())?;
            output.print(&format!("{ended} revoked"), &json!({ "ended": ended }))
        }
        KeyCommand::Revoke { key, .. } => {
            let key = key.as_deref().unwrap_or_default();
            let account = administration.end_key(key).await.map_err(|error| error.to_string())?;
            let text = format!("revoked, of {}", account.username);
            output.print(&text, &json!({ "ended": 1, "username": account.username }))
        }
    }
}

async fn list_all(administration: &Administration, output: &OutputArg) -> Result<(), String> {
    let mut after: Option<Uuid> = None;
    loop {
        let page = administration.all_keys(after, PAGE).await.map_err(|error| error.to_string())?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = Some(last.id);
        page.into_iter().try_for_each(|named| show(named, administration, output))?;
    }
}

fn show(
    (key, username): (ApiKey, String),
    administration: &Administration,
    output: &OutputArg,
) -> Result<(), String> {
    let rules = &administration.policy.auth.keys;
    let time = |at: Option<Timestamp>| at.map_or("-".to_owned(), |at| at.to_rfc3339());
    let text = format!(
        "{}  {}  {username}  {}  {}  {}  {}  {:?}",
        key.id,
        api_key::shown(key.id),
        key.roles.join(","),
        key.created_at.to_rfc3339(),
        time(key.ends_at(rules.max_ttl)),
        time(key.last_used_at),
        key.name
    );
    output.print(&text, &described::key(key, &username, rules))
}
