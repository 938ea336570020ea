//! `portcullis session`: who is logged in, and ending that.

use clap::{Args, Subcommand};
use serde_json::json;

use super::operator::{self, OutputArg};
use super::{ConfigArg, block_on};
use crate::auth::administration::Administration;
use crate::auth::described;
use crate::identity::SessionId;
use crate::store::{Session, SessionPage};

const PAGE: u32 = 200;

#[derive(Debug, Args)]
pub struct SessionArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    output: OutputArg,
    #[command(subcommand)]
    command: SessionCommand,
}

#[derive(Debug, Subcommand)]
enum SessionCommand {
    /// List the sessions of an account, newest first
    List { user: String },
    /// End one session, or all of an account; their tokens stop working at once
    Revoke {
        #[arg(required_unless_present = "user")]
        id: Option<SessionId>,
        /// Every session of this account, and its API keys
        #[arg(long, conflicts_with = "id")]
        user: Option<String>,
        /// API keys of the account go on
        #[arg(long, conflicts_with = "id")]
        keep_keys: bool,
    },
}

pub fn run(args: &SessionArgs) -> Result<(), String> {
    block_on(async {
        let administration = operator::administration(&args.config).await?;
        let done = perform(&args.command, &administration, &args.output).await;
        operator::finish(&administration, &args.config).await;
        done
    })?
}

async fn perform(
    command: &SessionCommand,
    administration: &Administration,
    output: &OutputArg,
) -> Result<(), String> {
    match command {
        SessionCommand::List { user } => {
            let mut page = SessionPage { after: None, limit: PAGE };
            loop {
                let sessions =
                    administration.sessions(user, page).await.map_err(|error| error.to_string())?;
                for session in &sessions {
                    output.print(&line(session), &described::session(session))?;
                }
                let Some(last) = sessions.last() else { return Ok(()) };
                page.after = Some(last.id);
            }
        }
        SessionCommand::Revoke { id: Some(id), .. } => {
            administration.end_session(*id).await.map_err(|error| error.to_string())?;
            output.print("revoked", &json!({ "ended": 1 }))
        }
        SessionCommand::Revoke { user, keep_keys, .. } => {
            let user = user.as_deref().unwrap_or_default();
            let ended =
                administration.end_sessions(user, *keep_keys).await.map_err(|error| error.to_string())?;
            output.print(&format!("{ended} revoked"), &json!({ "ended": ended }))
        }
    }
}

fn line(session: &Session) -> String {
    let address = session.address.map_or("-".to_owned(), |address| address.to_string());
    let (created, used) = (session.created_at.to_rfc3339(), session.rotated_at.to_rfc3339());
    format!("{}  {created}  {used}  {address}  {}", session.id, session.user_agent.as_deref().unwrap_or("-"))
}
