//! The command line. Exit status: 0 done, 1 failed, 2 wrong usage.

mod admin_client;
mod audit;
mod cache;
mod diff;
mod explain;
mod health;
mod import;
mod import_file;
mod init;
mod key;
mod keys;
mod limit;
mod operator;
mod password;
mod progress;
mod reload;
mod session;
mod snippet;
mod tail;
mod token;
mod user;
mod validate;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::server;
use crate::telemetry::log::Log;

/// A reverse-proxy authentication gateway.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a first configuration, with a signing key of its own
    Init(init::Init),
    /// Run the gateway
    Serve(FileArg),
    /// Report every problem of a configuration file
    Validate(validate::Validate),
    /// Say what would become of a request, and why
    Explain(explain::Explain),
    /// Say what changes for whom between two configuration files
    Diff(diff::Diff),
    /// Have the running gateway take up its file, and wait for the outcome
    Reload(reload::Reload),
    /// Follow the running gateway's decisions as they are made
    Tail(tail::Tail),
    /// Print the JSON Schema of the configuration file, for editors
    Schema,
    /// Bring the tables of the account store up to date
    Migrate(FileArg),
    /// Manage accounts
    User(user::UserArgs),
    /// List and end sessions
    Session(session::SessionArgs),
    /// List and end personal API keys
    Key(key::KeyArgs),
    /// Make keys that sign tokens, and list those in force
    Keys(keys::KeysArgs),
    /// Inspect access tokens, and make some for tests
    Token(token::TokenArgs),
    /// Read the audit log
    Audit(audit::AuditArgs),
    /// Purge the response cache, and see what it holds
    Cache(cache::CacheArgs),
    /// See how far a limit is used up, and reset it
    Limit(limit::LimitArgs),
    /// Ask the running gateway whether it is ready
    Health(health::Health),
    /// Print the version
    Version,
}

#[derive(Debug, Args)]
pub struct ConfigArg {
    /// The configuration file
    #[arg(
        short,
        long,
        value_name = "FILE",
        default_value = "gateway.yaml",
        env = "PORTCULLIS_CONFIG",
        global = true
    )]
    config: PathBuf,
}

/// The same, where nothing else can stand: also without `--config`.
#[derive(Debug, Args)]
pub struct FileArg {
    /// The configuration file, as with --config
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArg,
}

impl FileArg {
    pub fn path(&self) -> &Path {
        self.file.as_deref().unwrap_or(&self.config.config)
    }
}

/// How a command says what it has to say.
#[derive(Debug, Args)]
pub struct OutputArg {
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Text,
    Json,
}

impl OutputArg {
    fn is_json(&self) -> bool {
        self.output == Output::Json
    }
}

/// Runs a command; a failure is printed to standard error.
pub fn run(cli: Cli) -> ExitCode {
    let log = Log::start();
    let done = match cli.command {
        Command::Serve(arg) => server::serve(arg.path(), log).map_err(|error| error.to_string()),
        Command::Init(args) => init::run(&args),
        Command::Validate(args) => validate::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Reload(args) => reload::run(&args),
        Command::Tail(args) => tail::run(&args),
        Command::Schema => print(include_str!("../../gateway.schema.json").trim_end()),
        Command::Migrate(arg) => migrate(&arg),
        Command::User(args) => user::run(&args),
        Command::Session(args) => session::run(&args),
        Command::Key(args) => key::run(&args),
        Command::Keys(args) => keys::run(&args),
        Command::Token(args) => token::run(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Cache(args) => cache::run(&args),
        Command::Limit(args) => limit::run(&args),
        Command::Health(args) => health::run(&args),
        Command::Version => print(&format!("portcullis {}", env!("CARGO_PKG_VERSION"))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn migrate(arg: &FileArg) -> Result<(), String> {
    let policy = server::load_policy(arg.path())?;
    let opened = block_on(server::open_stores::open(&policy, false))?;
    opened.map_err(|error| error.to_string())?;
    print("the tables are up to date")
}

/// `1 route`, `2 routes`.
fn counted(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

fn block_on<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.map_err(|error| format!("starting a runtime: {error}"))?.block_on(work))
}

fn print(line: &str) -> Result<(), String> {
    use std::io::Write;
    writeln!(std::io::stdout(), "{line}").map_err(|error| format!("writing to standard output: {error}"))
}
