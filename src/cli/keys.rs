//! `portcullis keys`: the keys that sign access tokens.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::operator::{self, OutputArg};
use super::{ConfigArg, block_on, print};
use crate::clock::now;
use crate::config::policy::{SigningAlgorithm, TokenKey};
use crate::identity::token::generate::generate;
use crate::server::signing_key::KeyPlace;
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
    /// List the keys in force: the first signs, all verify
    List,
    /// Make a new key beside those kept with the accounts; it verifies at once and signs after the overlap
    Rotate {
        /// In seconds: time for every gateway to learn of the key
        #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(5..=86_400))]
        overlap: u64,
    },
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
        KeysCommand::Rotate { overlap } => rotate(args, Duration::from_secs(*overlap)),
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
    print_keys(&tokens.keys, args)
}

fn print_keys(keys: &[TokenKey], args: &KeysArgs) -> Result<(), String> {
    for (index, key) in keys.iter().enumerate() {
        let does = if index == 0 { "signs and verifies" } else { "verifies" };
        let algorithm = format!("{:?}", key.algorithm);
        let document = json!({ "id": key.id, "algorithm": algorithm, "signs": index == 0 });
        args.output.print(&format!("{}  {algorithm}  {does}", key.id), &document)?;
    }
    Ok(())
}

/// Says which keys there are now, and which steps lead to the same where the file names them.
fn rotate(args: &KeysArgs, overlap: Duration) -> Result<(), String> {
    let keys = block_on(async {
        let (administration, stores) = operator::open(&args.config).await?;
        let policy = &administration.policy;
        let place = KeyPlace::of(policy, &stores).ok_or(NAMED)?;
        let keys = place.rotate(overlap, policy.tokens.refresh_ttl).await?;
        administration.note_rotation().await.map_err(|error| error.to_string())?;
        Ok::<_, String>(keys.in_force(now()))
    })??;
    print_keys(&keys, args)
}

/// Only its owner may rewrite a file that people write.
const NAMED: &str = "the configuration names its keys, so rotate them there, with a reload after each step: \
make one with `portcullis keys generate --out FILE`; add it as the second of tokens.keys at every gateway; make it the \
first; take the old one away once tokens.refresh_ttl has gone by";
