//! `portcullis health`: for container health checks, without a need for curl. Asks the running gateway, whatever
//! has become of its file.

use std::time::Duration;

use clap::Args;

use super::admin_client::{AdminArg, Need, Question};
use super::{FileArg, print};

const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
pub struct Health {
    #[command(flatten)]
    file: FileArg,
    #[command(flatten)]
    admin: AdminArg,
}

/// Fails unless `/readyz` says 200.
pub fn run(args: &Health) -> Result<(), String> {
    let question = Question { need: Need::Nobody, patience: PATIENCE, ..Question::get("/readyz") };
    let (status, readiness) = args.admin.ask(args.file.path(), None, &question)?;
    if status == 200 { print(&readiness.to_string()) } else { Err(format!("not ready: {readiness}")) }
}
