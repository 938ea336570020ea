//! `portcullis validate`: every problem of a file in one run.

use std::path::PathBuf;

use clap::Args;

use super::print;
use crate::server::load;

#[derive(Debug, Args)]
pub struct Validate {
    /// The configuration file
    #[arg(value_name = "FILE", default_value = "gateway.yaml")]
    file: PathBuf,
}

pub fn run(args: &Validate) -> Result<(), String> {
    let loaded = load::load(&args.file).map_err(|problems| load::render(&problems))?;
    if !loaded.warnings.is_empty() {
        eprintln!("{}", load::render(&loaded.warnings));
    }
    let routes = loaded.policy.routes.routes().len();
    print(&format!("{}: good; {routes} routes, {} warnings", args.file.display(), loaded.warnings.len()))
}
