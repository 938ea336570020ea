//! `portcullis user`: accounts from the command line, on the stores of the configuration.

use clap::{Args, Subcommand};
use serde_json::json;

use super::import::{self, ImportArgs};
use super::operator::{self, OutputArg};
use super::{ConfigArg, block_on, password};
use crate::accounts::roles::{Unknown, unknown};
use crate::auth::administration::{Administration, AdministrationError, NewUser};
use crate::auth::described;
use crate::identity::token::KeyRing;
use crate::identity::vault::Vault;
use crate::server;
use crate::server::open_stores::OpenStores;
use crate::store::lockouts::Lockout;
use crate::store::{Account, AccountFilter, FormerName};

const PAGE: u32 = 200;

#[derive(Debug, Args)]
pub struct UserArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    output: OutputArg,
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Add an account; the password comes from a prompt, standard input or PORTCULLIS_PASSWORD
    Add {
        name: String,
        /// May be given several times
        #[arg(long = "role", value_name = "ROLE", default_value = "user")]
        roles: Vec<String>,
        /// An operator of the gateway: also the first role of `admin.roles`
        #[arg(long)]
        operator: bool,
        /// Let --role name a role of operators
        #[arg(long)]
        allow_operators: bool,
        /// Let --role name a role that looks like a misspelling of another
        #[arg(long)]
        new_role: bool,
        #[arg(long)]
        email: Option<String>,
        /// The address belongs to the user, so that it needn't be confirmed by mail
        #[arg(long, requires = "email")]
        confirmed: bool,
    },
    /// Take over the accounts of another program, with their password hashes
    Import(ImportArgs),
    /// List accounts
    List {
        /// Only usernames that begin with this, in any case
        #[arg(long, value_name = "PREFIX")]
        search: Option<String>,
    },
    /// Show one account
    Show { name: String },
    /// Replace the roles of an account; its tokens become stale at once
    SetRole {
        name: String,
        #[arg(required = true)]
        roles: Vec<String>,
        /// Let them make an operator of the gateway
        #[arg(long)]
        allow_operators: bool,
        /// Let them be new where one looks like a misspelling of another
        #[arg(long)]
        new_role: bool,
    },
    /// Replace the email address of an account
    SetEmail {
        name: String,
        address: String,
        /// It belongs to the user, so that it needn't be confirmed by mail; if it is the first confirmed one, API keys end
        #[arg(long)]
        confirmed: bool,
        /// API keys go on
        #[arg(long)]
        keep_keys: bool,
    },
    /// Confirm the address that an account gave last, without a mail; API keys end if it is the first confirmed one
    ConfirmEmail {
        name: String,
        /// API keys go on
        #[arg(long)]
        keep_keys: bool,
    },
    /// Replace the password of an account and end its sessions and API keys; it comes as with `add`
    SetPassword {
        name: String,
        /// API keys go on
        #[arg(long)]
        keep_keys: bool,
    },
    /// Disable an account and end its sessions
    Disable {
        name: String,
        /// Enable it again, as `enable` does
        #[arg(long)]
        undo: bool,
    },
    /// Enable an account that was disabled
    Enable { name: String },
    /// Take the second factor of an account away and end its sessions and API keys
    ResetMfa {
        name: String,
        /// API keys go on
        #[arg(long)]
        keep_keys: bool,
    },
    /// Lift a lockout
    Unlock { name: String },
    /// After an older dump was restored: bring an account and the state store together again, and end its sessions
    Mend { name: String },
    /// Delete an account and end its sessions; its name stays reserved
    Delete { name: String },
    /// List the names that renamed and deleted accounts had
    FormerNames,
    /// Let anybody have the name that a renamed or deleted account had
    FreeName { name: String },
}

pub fn run(args: &UserArgs) -> Result<(), String> {
    block_on(async {
        let (administration, stores) = operator::open(&args.config).await?;
        let done = match &args.command {
            UserCommand::Import(import) => {
                let vault = vault(&administration, &stores).await?;
                import::perform(import, &administration, &vault, &args.output).await
            }
            command => perform(command, &administration, &args.output).await,
        };
        operator::finish(&administration, &args.config).await;
        done
    })?
}

/// What seals the secrets of second factors.
async fn vault(administration: &Administration, stores: &OpenStores) -> Result<Vault, String> {
    let tokens = server::tokens_with_keys(&administration.policy, stores).await;
    let tokens = tokens.map_err(|error| error.to_string())?;
    // Refuses what a vault can't be made of.
    KeyRing::new(&tokens).map_err(|error| error.to_string())?;
    Ok(Vault::new(&tokens.keys))
}

async fn perform(
    command: &UserCommand,
    administration: &Administration,
    output: &OutputArg,
) -> Result<(), String> {
    let said = |error: AdministrationError| error.to_string();
    let print = |account: &Account| output.print(&line(account), &described::account(account));
    match command {
        UserCommand::Add { name, roles, operator, allow_operators, new_role, email, confirmed } => {
            let password = password::read()?;
            let allow_operators = *operator || *allow_operators;
            let operator = operator.then(|| administration.policy.admin.roles.first()).flatten();
            check_spelling(administration, roles, *new_role)?;
            let roles: Vec<String> = roles.iter().chain(operator).cloned().collect();
            let new = NewUser {
                username: name,
                password: &password,
                email: email.as_deref(),
                is_confirmed: *confirmed,
                roles: &roles,
                allow_operators,
            };
            print(&administration.add(new).await.map_err(said)?)
        }
        // It needs more than the others.
        UserCommand::Import(_) => Ok(()),
        UserCommand::List { search } => list(administration, search.as_deref(), output).await,
        UserCommand::Show { name } => {
            let (account, lockout) = administration.find_with_lockout(name).await.map_err(said)?;
            print_with_lockout(output, &account, &lockout)
        }
        UserCommand::SetRole { name, roles, allow_operators, new_role } => {
            let had = administration.find(name).await.map_err(said)?.roles;
            let new: Vec<String> = roles.iter().filter(|role| !had.contains(role)).cloned().collect();
            check_spelling(administration, &new, *new_role)?;
            print(&administration.set_roles(name, roles, *allow_operators).await.map_err(said)?)
        }
        UserCommand::SetEmail { name, address, confirmed, keep_keys } => {
            let set = administration.set_email(name, address, *confirmed, *keep_keys).await;
            let account = set.map_err(said)?;
            output.print(&address_line(&account), &described::account(&account))
        }
        UserCommand::ConfirmEmail { name, keep_keys } => {
            let account = administration.confirm_email(name, *keep_keys).await.map_err(said)?;
            output.print(&address_line(&account), &described::account(&account))
        }
        UserCommand::SetPassword { name, keep_keys } => {
            print(&administration.set_password(name, &password::read()?, *keep_keys).await.map_err(said)?)
        }
        UserCommand::Disable { name, undo } => {
            print(&administration.set_disabled(name, !undo).await.map_err(said)?)
        }
        UserCommand::Enable { name } => print(&administration.set_disabled(name, false).await.map_err(said)?),
        UserCommand::ResetMfa { name, keep_keys } => {
            let had_one = administration.reset_mfa(name, *keep_keys).await.map_err(said)?;
            let text = if had_one { "second factor removed" } else { "had no second factor" };
            output.print(text, &json!({ "had_second_factor": had_one }))
        }
        UserCommand::Unlock { name } => {
            let was_locked = administration.unlock(name).await.map_err(said)?;
            let text = if was_locked { "unlocked" } else { "was not locked" };
            output.print(text, &json!({ "was_locked": was_locked }))
        }
        UserCommand::Mend { name } => print(&administration.mend(name).await.map_err(said)?),
        UserCommand::Delete { name } => {
            administration.delete(name).await.map_err(said)?;
            output.print("deleted", &json!({ "deleted": name }))
        }
        UserCommand::FormerNames => former_names(administration, output).await,
        UserCommand::FreeName { name } => {
            administration.free_name(name).await.map_err(said)?;
            output.print("freed", &json!({ "freed": name }))
        }
    }
}

async fn list(
    administration: &Administration,
    search: Option<&str>,
    output: &OutputArg,
) -> Result<(), String> {
    let mut after: Option<String> = None;
    loop {
        let filter = AccountFilter { prefix: search, after: after.as_deref() };
        let page = administration.list(filter, PAGE).await.map_err(|error| error.to_string())?;
        let lockouts = administration.lockouts(&page).await.map_err(|error| error.to_string())?;
        for (account, lockout) in page.iter().zip(&lockouts) {
            print_with_lockout(output, account, lockout)?;
        }
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.username.clone());
    }
}

async fn former_names(administration: &Administration, output: &OutputArg) -> Result<(), String> {
    let mut after: Option<String> = None;
    loop {
        let page = administration.former_names(after.as_deref(), PAGE).await;
        let page = page.map_err(|error| error.to_string())?;
        for FormerName { username, user_id, since } in &page {
            let since = since.to_rfc3339();
            let line = format!("{username}  {user_id}  {since}");
            output.print(&line, &json!({ "username": username, "user_id": user_id, "since": since }))?;
        }
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.username.clone());
    }
}

/// A role that nothing names may be meant; one that looks like another has to be said.
fn check_spelling(administration: &Administration, roles: &[String], new_role: bool) -> Result<(), String> {
    for Unknown { role, meant } in unknown(&administration.policy, roles) {
        match meant.filter(|_| !new_role) {
            Some(meant) => {
                return Err(format!(
                    "nothing names the role {role:?}; did you mean {meant:?}? If not, add --new-role"
                ));
            }
            None => eprintln!("note: nothing in the configuration names the role {role:?}"),
        }
    }
    Ok(())
}

fn address_line(account: &Account) -> String {
    let state = if account.confirmed_email().is_some() { "confirmed" } else { "not confirmed" };
    format!("{}  {}  {state}", account.username, account.email.as_deref().unwrap_or("-"))
}

fn line(account: &Account) -> String {
    let state = if account.disabled { "disabled" } else { "enabled" };
    format!("{}  {}  {}  {state}", account.id, account.username, account.roles.join(","))
}

fn print_with_lockout(output: &OutputArg, account: &Account, lockout: &Lockout) -> Result<(), String> {
    let locked = lockout.parts().into_iter().map(|(whom, until)| match until {
        Some(until) => format!("  locked for {whom} until {}", until.format("%Y-%m-%dT%H:%M:%SZ")),
        None => format!("  locked for {whom} until a reset"),
    });
    let line: String = std::iter::once(line(account)).chain(locked).collect();
    output.print(&line, &described::account_with_lockout(account, lockout))
}
