//! `portcullis audit`: what happened to accounts and sessions.

use std::borrow::Cow;
use std::time::Duration;

use clap::{Args, Subcommand};
use uuid::Uuid;

use super::operator::{self, OutputArg};
use super::{ConfigArg, block_on};
use crate::auth::administration::Administration;
use crate::auth::described;
use crate::clock::Timestamp;
use crate::identity::name;
use crate::store::{AuditEntry, AuditEvent, AuditFilter, AuditPosition};

const POLL: Duration = Duration::from_millis(500);
/// Records in a question.
const AT_ONCE: u32 = 500;

#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    output: OutputArg,
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// List records, newest first
    List {
        #[command(flatten)]
        wanted: Wanted,
        /// At this time or later, as in 2026-01-31T12:00:00Z
        #[arg(long)]
        since: Option<Timestamp>,
        /// Earlier than this time
        #[arg(long)]
        until: Option<Timestamp>,
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Print the newest records in their order, then new ones as they come
    Tail {
        #[command(flatten)]
        wanted: Wanted,
        /// How many to begin with
        #[arg(long, default_value_t = 10)]
        lines: u32,
        /// Stop after these
        #[arg(long)]
        no_follow: bool,
    },
}

#[derive(Debug, Args)]
struct Wanted {
    /// An account's username, or its id, which stays when the account is gone
    #[arg(long)]
    user: Option<String>,
    /// Such as login_failed
    #[arg(long, value_parser = event)]
    event: Option<AuditEvent>,
}

fn event(word: &str) -> Result<AuditEvent, String> {
    AuditEvent::parse(word).ok_or_else(|| {
        let known: Vec<&str> = AuditEvent::ALL.into_iter().map(AuditEvent::as_str).collect();
        format!("it is none of {}", known.join(", "))
    })
}

pub fn run(args: &AuditArgs) -> Result<(), String> {
    block_on(async {
        let administration = operator::administration(&args.config).await?;
        perform(&args.command, &administration, &args.output).await
    })?
}

async fn perform(
    command: &AuditCommand,
    administration: &Administration,
    output: &OutputArg,
) -> Result<(), String> {
    match command {
        AuditCommand::List { wanted, since, until, limit } => {
            let filter =
                AuditFilter { since: *since, until: *until, ..filter(administration, wanted).await? };
            let entries = find(administration, &filter, *limit).await?;
            entries.iter().try_for_each(|entry| print(entry, output))
        }
        AuditCommand::Tail { wanted, lines, no_follow } => {
            let filter = filter(administration, wanted).await?;
            let newest = administration.newest_audit(&filter, *lines).await;
            let (newest, end) = newest.map_err(|error| error.to_string())?;
            newest.iter().rev().try_for_each(|entry| print(entry, output))?;
            if *no_follow { Ok(()) } else { follow(administration, &filter, end, output).await }
        }
    }
}

async fn follow(
    administration: &Administration,
    filter: &AuditFilter,
    mut end: AuditPosition,
    output: &OutputArg,
) -> Result<(), String> {
    loop {
        let read = administration.audit_since(filter, &end.0, AT_ONCE).await;
        let (entries, now) = read.map_err(|error| error.to_string())?;
        entries.iter().try_for_each(|entry| print(entry, output))?;
        end = now;
        if entries.len() < AT_ONCE as usize {
            tokio::time::sleep(POLL).await;
        }
    }
}

async fn filter(administration: &Administration, wanted: &Wanted) -> Result<AuditFilter, String> {
    let user_id = match wanted.user.as_deref().map(|user| (user, Uuid::parse_str(user))) {
        None => None,
        Some((_, Ok(id))) => Some(id),
        Some((name, Err(_))) => Some(administration.find(name).await.map_err(|error| error.to_string())?.id),
    };
    Ok(AuditFilter { user_id, event: wanted.event, ..AuditFilter::default() })
}

async fn find(
    administration: &Administration,
    filter: &AuditFilter,
    limit: u32,
) -> Result<Vec<AuditEntry>, String> {
    administration.audit(filter, limit).await.map_err(|error| error.to_string())
}

fn print(entry: &AuditEntry, output: &OutputArg) -> Result<(), String> {
    let record = &entry.record;
    let address = record.address.map_or("-".to_owned(), |address| address.to_string());
    let text = format!(
        "{}  {}  {}  by {}  from {address}  {}",
        record.at.to_rfc3339(),
        record.event.as_str(),
        shown(&record.username),
        record.actor.as_deref().unwrap_or("-"),
        record.detail.as_deref().unwrap_or("")
    );
    output.print(text.trim_end(), &described::audit(entry))
}

/// What a login was tried with may be no username: quoted, so that it looks like no other field, and turns no text
/// around.
fn shown(username: &str) -> Cow<'_, str> {
    match username.is_empty() || name::check_username(username).is_ok() {
        true => Cow::Borrowed(username),
        false => Cow::Owned(format!("{username:?}")),
    }
}
