//! What commands for operators have in common: the stores of the configuration, who is at the
//! keyboard, and how to print.

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::admin_client::tell_of_revocations;
use super::{ConfigArg, print};
use crate::auth::administration::{Administration, Operator};
use crate::auth::{Mailer, PasswordQueue};
use crate::config::policy::StateStorage;
use crate::server;
use crate::server::open_stores::{self, OpenStores};
use crate::telemetry::Metrics;

/// So long a command waits for a mail server.
const MAIL: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Lines for people
    Text,
    /// JSON for programs: one document, or one line for each item of a list
    Json,
}

#[derive(Debug, Args)]
pub struct OutputArg {
    /// How to print
    #[arg(long, value_enum, default_value = "text", global = true)]
    pub output: Format,
}

impl OutputArg {
    pub fn print(&self, text: &str, json: &Value) -> Result<(), String> {
        match self.output {
            Format::Text => print(text),
            Format::Json => print(&json.to_string()),
        }
    }
}

pub async fn administration(arg: &ConfigArg) -> Result<Administration, String> {
    Ok(open(arg).await?.0)
}

/// The same, and the stores for what it has no part in.
pub async fn open(arg: &ConfigArg) -> Result<(Administration, OpenStores), String> {
    let policy = server::load_policy(&arg.config)?;
    let stores = open_stores::open(&policy, false).await.map_err(|error| error.to_string())?;
    let metrics = Arc::new(Metrics::new());
    let mailer = Mailer::new(stores.for_auth(), metrics.clone());
    let passwords = PasswordQueue::start(1, 1, metrics);
    let passwords = passwords.map_err(|error| format!("starting a thread: {error}"))?;
    let administration =
        Administration { stores: stores.for_auth(), policy, passwords, mailer, operator: operator() };
    Ok((administration, stores))
}

/// What a command has revoked counts, and its mail is sent, before it ends.
pub async fn finish(administration: &Administration, arg: &ConfigArg) {
    if matches!(administration.policy.storage.state, StateStorage::Embedded(_)) {
        tell_of_revocations(&arg.config);
    }
    let mailer = &administration.mailer;
    if tokio::time::timeout(MAIL, mailer.idle()).await.is_err() {
        eprintln!("mail is not sent yet; the gateway goes on trying");
    }
}

fn operator() -> Operator {
    Operator { name: server::control::own_name(), address: None, user_agent: None, request_id: None }
}
