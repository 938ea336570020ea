//! `portcullis keys`: the keys that sign access tokens.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::operator::OutputArg;
use super::{ConfigArg, block_on, print};
use crate::config::policy::SigningAlgorithm;
use crate::identity::token::generate::generate;
use crate::server::{self, open_stores};

#[derive(Debug, Args)]
pub struct KeysArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    output: OutputArg,
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Make a new key; it is printed, or written to a file that only its owner may read
    Generate {
        #[arg(value_enum, default_value = "es256")]
        algorithm: Algorithm,
        /// A file that doesn't exist yet
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// List the keys of the configuration: the first signs, all verify
    List,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Algorithm {
    Hs256,
    Rs256,
    Es256,
    Eddsa,
}

impl From<Algorithm> for SigningAlgorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Hs256 => Self::HS256,
            Algorithm::Rs256 => Self::RS256,
            Algorithm::Es256 => Self::ES256,
            Algorithm::Eddsa => Self::EdDSA,
        }
    }
}

pub fn run(args: &KeysArgs) -> Result<(), String> {
    match &args.command {
        KeysCommand::Generate { algorithm, out } => {
            let key = generate((*algorithm).into());
            match out {
                Some(path) => {
                    write(path, key.expose()).map_err(|error| format!("writing {}: {error}", path.display()))
                }
                None => print(String::from_utf8_lossy(key.expose()).trim_end()),
            }
        }
        KeysCommand::List => list(args),
    }
}

/// Never over a key that is there: tokens signed by it would be lost.
fn write(path: &Path, key: &[u8]) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(key)?;
    file.sync_all()
}

fn list(args: &KeysArgs) -> Result<(), String> {
    let policy = server::load_policy(&args.config.config)?;
    let tokens = block_on(async {
        let stores = open_stores::open(&policy, false).await.map_err(|error| error.to_string())?;
        server::tokens_with_keys(&policy, &stores).await.map_err(|error| error.to_string())
    })??;
    for (index, key) in tokens.keys.iter().enumerate() {
        let does = if index == 0 { "signs and verifies" } else { "verifies" };
        let algorithm = format!("{:?}", key.algorithm);
        let document = json!({ "id": key.id, "algorithm": algorithm, "signs": index == 0 });
        args.output.print(&format!("{}  {algorithm}  {does}", key.id), &document)?;
    }
    Ok(())
}
