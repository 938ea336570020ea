//! `./dev bench`: what the gateway costs over bare Pingora. Load generator, upstream and Redis run
//! on core 0, the proxy under test on core 1. The proxy's CPU time per request is read beside the
//! rate: where core 0 is the limit, only the former tells. Subjects
//! take turns within each round and are compared within it; the table shows medians over all rounds.
//! Ratios count, not figures.

mod gateway;
mod process;
mod report;
mod wrk;

use std::error::Error;
use std::path::{Path, PathBuf};

use process::{LOAD_CORE, PROXY_CORE, Process};
use report::{Row, Startup};

const ROUNDS: usize = 9;
const SECONDS: u32 = 2;
const UPSTREAM: &str = "127.0.0.1:19000";
const BARE: &str = "127.0.0.1:19001";
const REDIS_PORT: &str = "19002";

type Failure = Box<dyn Error>;

/// One thing to measure: where to send requests, and what proves who sends them.
struct Subject<'a> {
    name: &'static str,
    process: &'a Process,
    url: String,
    token: Option<String>,
}

fn main() -> Result<(), Failure> {
    let programs = programs()?;
    let folder = tempfile::tempdir()?;
    let _upstream =
        Process::start(LOAD_CORE, &programs.join("bench-upstream"), &[UPSTREAM])?.listening(UPSTREAM)?;
    let _redis = Process::start(
        LOAD_CORE,
        Path::new("redis-server"),
        &["--port", REDIS_PORT, "--save", "", "--bind", "127.0.0.1", "--loglevel", "warning"],
    )?
    .listening(&format!("127.0.0.1:{REDIS_PORT}"))?;
    let bare =
        Process::start(PROXY_CORE, &programs.join("bare-pingora"), &[BARE, UPSTREAM])?.listening(BARE)?;

    let startup = measure_startup(&programs, folder.path())?;
    let embedded = gateway::start(&programs, folder.path(), "embedded", 19010)?;
    let redis = gateway::start(&programs, folder.path(), &format!("redis://127.0.0.1:{REDIS_PORT}"), 19020)?;
    let subjects = [
        Subject {
            name: "(a) bare Pingora passthrough",
            process: &bare,
            url: format!("http://{BARE}/public"),
            token: None,
        },
        embedded.subject("(b) public route", "/public", false),
        embedded.subject("(c) JWT + revocation + limit + role, embedded", "/protected", true),
        redis.subject("(d) the same on Redis", "/protected", true),
        embedded.subject("(e) cache hit, embedded", "/cached", true),
        redis.subject("(e) cache hit, Redis", "/cached", true),
    ];
    let mut rows: Vec<Row> = subjects.iter().map(|subject| Row::new(subject.name)).collect();
    for subject in &subjects {
        wrk::run(subject, 1)?;
    }
    for _ in 0..ROUNDS {
        for (subject, row) in subjects.iter().zip(&mut rows) {
            row.add(wrk::run(subject, SECONDS)?);
        }
    }
    report::print(&rows, &startup)?;
    Ok(())
}

/// The release binaries lie beside this one.
fn programs() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe()?;
    let folder = own.parent().ok_or("this program lies in no folder")?;
    Ok(folder.to_path_buf())
}

fn measure_startup(programs: &Path, folder: &Path) -> Result<Startup, Failure> {
    let gateway = gateway::start(programs, &folder.join("startup"), "embedded", 19030)?;
    Ok(Startup {
        took: gateway.until_ready,
        idle_kib: gateway.idle_kib,
        after_login_kib: gateway.process.resident_kib()?,
    })
}
