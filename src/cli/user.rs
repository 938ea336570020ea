//! `portcullis user`: accounts from the command line, on the stores of the configuration.

use std::io::BufRead;

use clap::{Args, Subcommand};

use super::{ConfigArg, block_on, print};
use crate::auth::administration::{Administration, NewUser};
use crate::server::{self, open_stores};
use crate::store::Account;

#[derive(Debug, Args)]
pub struct UserArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Add an account; the password comes from standard input or PORTCULLIS_PASSWORD
    Add {
        name: String,
        /// May be given several times
        #[arg(long = "role", value_name = "ROLE", default_value = "user")]
        roles: Vec<String>,
        #[arg(long)]
        email: Option<String>,
    },
    /// List accounts
    List,
    /// Replace the roles of an account; its tokens become stale at once
    SetRole {
        name: String,
        #[arg(required = true)]
        roles: Vec<String>,
    },
    /// Disable an account and end its sessions
    Disable {
        name: String,
        /// Enable it again
        #[arg(long)]
        undo: bool,
    },
    /// Lift a lockout
    Unlock { name: String },
    /// Delete an account and end its sessions
    Delete { name: String },
}

pub fn run(args: &UserArgs) -> Result<(), String> {
    let policy = server::load_policy(&args.config.config)?;
    block_on(async {
        let stores = open_stores::open(&policy.storage, None).await.map_err(|error| error.to_string())?;
        let administration = Administration::new(stores.for_auth(), policy.clone());
        perform(&args.command, &administration).await
    })?
}

async fn perform(command: &UserCommand, administration: &Administration) -> Result<(), String> {
    match command {
        UserCommand::Add { name, roles, email } => {
            let password = password()?;
            let new = NewUser { username: name, password: &password, email: email.as_deref(), roles };
            let account = administration.add(new).await.map_err(|error| error.to_string())?;
            print(&line(&account))
        }
        UserCommand::List => {
            let mut after: Option<String> = None;
            loop {
                let page = administration.list(after.as_deref()).await.map_err(|error| error.to_string())?;
                let Some(last) = page.last() else { return Ok(()) };
                after = Some(last.username.clone());
                page.iter().try_for_each(|account| print(&line(account)))?;
            }
        }
        UserCommand::SetRole { name, roles } => {
            let account = administration.set_roles(name, roles).await.map_err(|error| error.to_string())?;
            print(&line(&account))
        }
        UserCommand::Disable { name, undo } => {
            let account =
                administration.set_disabled(name, !undo).await.map_err(|error| error.to_string())?;
            print(&line(&account))
        }
        UserCommand::Unlock { name } => {
            let was_locked = administration.unlock(name).await.map_err(|error| error.to_string())?;
            print(if was_locked { "unlocked" } else { "was not locked" })
        }
        UserCommand::Delete { name } => {
            administration.delete(name).await.map_err(|error| error.to_string())?;
            print("deleted")
        }
    }
}

fn line(account: &Account) -> String {
    let state = if account.disabled { "disabled" } else { "enabled" };
    format!("{}  {}  {}  {state}", account.id, account.username, account.roles.join(","))
}

fn password() -> Result<String, String> {
    if let Ok(password) = std::env::var("PORTCULLIS_PASSWORD") {
        return Ok(password);
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|error| format!("reading the password: {error}"))?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err("give the password on standard input or in PORTCULLIS_PASSWORD".into());
    }
    Ok(password.to_owned())
}
