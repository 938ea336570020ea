//! A million accounts in Postgres: taking ten thousand over from another program, and how long a login, a
//! page of the list and a search take beside the hash.

use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::json;

use super::verdict;
use crate::Failure;
use crate::client::Client;
use crate::gateway::{self, Gateway, Plan};
use crate::postgres::Postgres;
use crate::report::{median, quantile, say};
use crate::stage::Stage;

const IMPORTED: usize = 10_000;
const MOST_IMPORT_SECONDS: f64 = 30.0;
const ACCOUNTS: usize = 1_000_000;
const TRIES: usize = 1000;
const MOST_MS: f64 = 50.0;
/// Of some password, by bcrypt at cost 10: an import hashes nothing.
const BCRYPT: &str = "$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy";
/// The hash takes next to nothing, so that what a login takes is the rest.
const CHEAP: &str = "limits: off, password: { argon2: { memory: 8KiB, iterations: 1, parallelism: 1 } }";

pub fn run(stage: &Stage) -> Result<(), Failure> {
    let postgres = Postgres::start()?;
    let redis_url = Stage::redis_url();
    let plan = Plan { auth: CHEAP, users: postgres.url(), ..Plan::new(stage, 19140, &redis_url)? };
    let gateway = gateway::start(stage, &plan)?;
    let operator = gateway::operator(stage, &gateway)?;
    import(stage, &gateway)?;

    // All with the password of the account that the bench made itself.
    postgres.run(&format!(
        "INSERT INTO users (id, username, username_key, password_hash, roles, version, disabled, email_verified, \
                            created_at, updated_at) \
         SELECT gen_random_uuid(), 'user' || n, 'user' || n, \
                (SELECT password_hash FROM users WHERE username = 'bench'), ARRAY['user'], 1, false, true, \
                now(), now() FROM generate_series(1, {ACCOUNTS}) AS n"
    ))?;
    postgres.run("VACUUM ANALYZE users")?;
    say(&format!(
        "\n{ACCOUNTS} accounts, {TRIES} tries of each\n\n| | p50 ms | p99 ms |\n| --- | ---: | ---: |"
    ))?;
    let mut proxy = Client::connect(&gateway.address)?;
    let mut admin = Client::connect(&gateway.admin_address)?;
    let logins = timed(|number| {
        let login = json!({ "username": format!("user{}", spread(number)), "password": gateway::PASSWORD });
        Ok((proxy.post("/auth/login", None, &login.to_string())?.status, 200))
    })?;
    let pages = timed(|number| {
        let path = format!("/api/users?limit=50&after=user{}", spread(number));
        Ok((admin.get(&path, Some(&operator))?.status, 200))
    })?;
    let searches = timed(|number| {
        let path = format!("/api/users?search=user{}", spread(number) / 1000);
        Ok((admin.get(&path, Some(&operator))?.status, 200))
    })?;
    let mut worst: f64 = 0.0;
    for (name, took) in
        [("login", logins), ("a page of 50", pages), ("search by the start of a name", searches)]
    {
        let most = quantile(took.iter().copied(), 0.99);
        worst = worst.max(most);
        say(&format!("| {name} | {:.2} | {most:.2} |", median(took.iter().copied())))?;
    }
    say(&format!("\ntarget p99 ≤ {MOST_MS:.0} ms: {}", verdict(worst <= MOST_MS)))?;
    Ok(())
}

fn import(stage: &Stage, gateway: &Gateway) -> Result<(), Failure> {
    let file = stage.folder("import")?.join("users.csv");
    let mut rows = String::from("username,password_hash,email\n");
    for number in 0..IMPORTED {
        writeln!(rows, "imported{number},{BCRYPT},imported{number}@example.org")?;
    }
    std::fs::write(&file, rows)?;
    let began = Instant::now();
    let imported = Command::new(stage.programs.join("portcullis"))
        .args(["user", "import"])
        .arg(&file)
        .arg("--config")
        .arg(&gateway.config)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if !imported.success() {
        return Err("the import failed".into());
    }
    let took = began.elapsed().as_secs_f64();
    say(&format!(
        "{IMPORTED} accounts with bcrypt hashes imported in {took:.1} s (target < {MOST_IMPORT_SECONDS:.0} s: {})",
        verdict(took < MOST_IMPORT_SECONDS)
    ))?;
    Ok(())
}

/// Milliseconds of each try, whose status must be the second number.
fn timed(mut ask: impl FnMut(usize) -> Result<(u16, u16), Failure>) -> Result<Vec<f64>, Failure> {
    let mut took = Vec::with_capacity(TRIES);
    for number in 0..TRIES {
        let began = Instant::now();
        let (status, expected) = ask(number)?;
        took.push(began.elapsed().as_secs_f64() * 1e3);
        if status != expected {
            return Err(format!("{status} instead of {expected}").into());
        }
    }
    Ok(took)
}

/// Somewhere among the accounts, each time elsewhere.
fn spread(number: usize) -> usize {
    number * 7_919 * 131 % ACCOUNTS + 1
}
