//! What the gateway costs over bare Pingora: the table of `./dev bench`.

use crate::Failure;
use crate::gateway::{self, Plan};
use crate::report::{self, Startup};
use crate::stage::{Bare, Stage};
use crate::wrk::{self, Subject};

const ROUNDS: usize = 15;
const SECONDS: u32 = 1;

pub fn run(stage: &Stage) -> Result<(), Failure> {
    let startup = measure_startup(stage)?;
    let bare = stage.bare()?;
    let redis_url = Stage::redis_url();
    let embedded = gateway::start(stage, &Plan::new(stage, 19010, "embedded")?)?;
    let redis = gateway::start(stage, &Plan::new(stage, 19020, &redis_url)?)?;
    let strict = Plan { mode: "strict", ..Plan::new(stage, 19040, &redis_url)? };
    let strict = gateway::start(stage, &strict)?;
    let subjects = [
        Subject {
            name: "(a) bare Pingora passthrough",
            processes: vec![&bare.process],
            url: Bare::url(),
            token: None,
            more: Vec::new(),
        },
        embedded.subject("(b) public route", "/public", false),
        embedded.subject("(c) JWT + revocation + limit + role, embedded", "/protected", true),
        strict.subject("(d) the same on Redis, one script per request", "/protected", true),
        redis.subject("(d) the same on Redis, mirrored and leased", "/protected", true),
        embedded.subject("(e) cache hit, embedded", "/cached", true),
        redis.subject("(e) cache hit, Redis", "/cached", true),
    ];
    let rows = wrk::in_turns(&subjects, ROUNDS, SECONDS)?;
    report::print_rows(&rows)?;
    report::print_startup(&startup)?;
    Ok(())
}

fn measure_startup(stage: &Stage) -> Result<Startup, Failure> {
    let gateway = gateway::start(stage, &Plan::new(stage, 19030, "embedded")?)?;
    Ok(Startup {
        took: gateway.until_ready,
        idle_kib: gateway.idle_kib,
        after_login_kib: gateway.process.resident_kib()?,
    })
}
