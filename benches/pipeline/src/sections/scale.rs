//! What a fleet costs, and where it ends: the figures of docs/scale.md. What is Redis' own is measured on Redis,
//! in the gateway's own commands and shapes; the rest on a gateway.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::gateway::{self, Plan};
use crate::postgres::Postgres;
use crate::report::say;
use crate::stage::{REDIS, Stage};
use crate::{Failure, redis};

const GATEWAYS: usize = 200;
const FLEET: usize = 1000;
const LASTING: Duration = Duration::from_secs(10);
/// Of each follower, as in the gateway.
const ROUND_MS: u32 = 250;
const REVOCATIONS_PER_SECOND: u32 = 10;
const REVOCATIONS: usize = 100_000;
const LIVE: usize = 1_000_000;
/// One account has at most a hundred.
const SESSIONS: usize = 90;
const RECORDS: usize = 100_000;
/// Revocations sent to Redis without waiting for their answers.
const BATCH: usize = 1000;

pub fn run(stage: &Stage) -> Result<(), Failure> {
    followers()?;
    revocations()?;
    sessions(stage)?;
    warm_up(stage)?;
    records()
}

/// Redis' share of a core, idle and with revocations, that so many gateways take with their followers alone.
fn followers() -> Result<(), Failure> {
    redis::command("FLUSHALL")?;
    add_revocations(0, 1)?;
    let script = load_script(include_str!("../../../../src/store/redis/scripts/follow.lua"))?;
    let revocations = format!(
        "EVALSHA {script} 1 portcullis:revocations POSITION 1000\r\nXREAD COUNT 1000 BLOCK {ROUND_MS} STREAMS portcullis:revocations $\r\n"
    );
    let purges = format!(
        "XREAD COUNT 1000 BLOCK {ROUND_MS} STREAMS portcullis:{{revoked}}:purges portcullis:{{revoked}}:landings $ $\r\n"
    );
    let over = AtomicBool::new(false);
    let (idle, busy) = std::thread::scope(|scope| {
        for _ in 0..GATEWAYS {
            scope.spawn(|| follow(&revocations, &over));
            scope.spawn(|| follow(&purges, &over));
        }
        let idle = used(|| {
            std::thread::sleep(LASTING);
            Ok(())
        });
        let measured = idle.and_then(|idle| Ok((idle, used(revoke_steadily)?)));
        over.store(true, Ordering::Relaxed);
        measured
    })?;
    let of_fleet = |share: f64| share * FLEET as f64 / GATEWAYS as f64;
    say(&format!(
        "the followers of {GATEWAYS} gateways: {:.1} % of a core of Redis idle, {:.1} % with {REVOCATIONS_PER_SECOND} revocations/s; by the same measure {FLEET} take {:.0} % and {:.0} %",
        idle * 100.0,
        busy * 100.0,
        of_fleet(idle) * 100.0,
        of_fleet(busy) * 100.0
    ))?;
    Ok(())
}

/// The hash by which it is called.
fn load_script(source: &str) -> Result<String, Failure> {
    let mut connection = BufReader::new(TcpStream::connect(REDIS)?);
    let command = format!("*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n${}\r\n{source}\r\n", source.len());
    connection.get_mut().write_all(command.as_bytes())?;
    let (mut length, mut hash) = (String::new(), String::new());
    connection.read_line(&mut length)?;
    connection.read_line(&mut hash)?;
    Ok(hash.trim().to_owned())
}

/// Asks the same round after round, from the last id that it was told, until it is over.
fn follow(round: &str, over: &AtomicBool) -> Result<(), Failure> {
    let mut connection = BufReader::new(TcpStream::connect(REDIS)?);
    let (mut line, mut position) = (String::new(), "0-0".to_owned());
    while !over.load(Ordering::Relaxed) {
        let round = round.replace("POSITION", &position);
        connection.get_mut().write_all(format!("{round}ECHO over\r\n").as_bytes())?;
        loop {
            line.clear();
            if connection.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line == "over\r\n" {
                break;
            }
            if is_id(line.trim()) {
                line.trim().clone_into(&mut position);
            }
        }
    }
    Ok(())
}

fn is_id(text: &str) -> bool {
    text.split_once('-').is_some_and(|(ms, number)| {
        ms.len() == 13 && ms.parse::<u64>().is_ok() && number.parse::<u64>().is_ok()
    })
}

fn revoke_steadily() -> Result<(), Failure> {
    let begun = Instant::now();
    let mut number = 1;
    while begun.elapsed() < LASTING {
        add_revocations(number, 1)?;
        number += 1;
        let due = Duration::from_secs(1) / REVOCATIONS_PER_SECOND * u32::try_from(number).unwrap_or(u32::MAX);
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
    }
    Ok(())
}

/// What Redis used of a core meanwhile.
fn used(work: impl FnOnce() -> Result<(), Failure>) -> Result<f64, Failure> {
    let (before, begun) = (redis_seconds()?, Instant::now());
    work()?;
    Ok((redis_seconds()? - before) / begun.elapsed().as_secs_f64())
}

fn redis_seconds() -> Result<f64, Failure> {
    Ok(info("used_cpu_sys")? + info("used_cpu_user")?)
}

fn info(field: &str) -> Result<f64, Failure> {
    let text = redis::command("INFO")?;
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    Ok(value.ok_or("Redis doesn't tell")?.trim().parse()?)
}

/// As `revoking.lua` writes them: a key and an entry of the stream each.
fn add_revocations(first: usize, count: usize) -> Result<(), Failure> {
    let until = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis() + 3_600_000;
    let mut connection = BufReader::new(TcpStream::connect(REDIS)?);
    let numbers: Vec<usize> = (first..first + count).collect();
    for batch in numbers.chunks(BATCH) {
        let mut commands = String::new();
        for number in batch {
            let id = format!("20000000-0000-4000-8000-{number:012x}");
            commands += &format!(
                "SET portcullis:revoked:jti:{id} 1 PXAT {until}\r\nXADD portcullis:revocations * kind jti id {id} value 1 until {until}\r\n"
            );
        }
        commands += "ECHO over\r\n";
        connection.get_mut().write_all(commands.as_bytes())?;
        let mut line = String::new();
        while line != "over\r\n" {
            line.clear();
            if connection.read_line(&mut line)? == 0 {
                return Err("Redis closed the connection".into());
            }
        }
    }
    Ok(())
}

fn revocations() -> Result<(), Failure> {
    redis::command("FLUSHALL")?;
    let before = info("used_memory")?;
    add_revocations(0, REVOCATIONS)?;
    let each = (info("used_memory")? - before) / REVOCATIONS as f64;
    say(&format!("a revocation takes {each:.0} bytes of Redis, key and stream"))?;
    Ok(())
}

fn sessions(stage: &Stage) -> Result<(), Failure> {
    redis::command("FLUSHALL")?;
    let url = Stage::redis_url();
    let auth = "limits: off, lockout: { failures: 100, for: 1m }";
    let gateway = gateway::start(stage, &Plan { auth, ..Plan::new(stage, 19210, &url)? })?;
    let before = info("used_memory")?;
    for _ in 0..SESSIONS {
        gateway::log_in(&gateway.address)?;
    }
    let each = (info("used_memory")? - before) / SESSIONS as f64;
    say(&format!(
        "a session takes {each:.0} bytes of Redis: {:.1} million in a GiB",
        (1u64 << 30) as f64 / each / 1e6
    ))?;
    Ok(())
}

/// A gateway that starts while so many revocations live.
fn warm_up(stage: &Stage) -> Result<(), Failure> {
    redis::command("FLUSHALL")?;
    let url = Stage::redis_url();
    let plan = Plan::new(stage, 19220, &url)?;
    let empty = gateway::start(stage, &plan)?;
    let (idle, ready) = (empty.idle_kib, empty.until_ready);
    drop(empty);
    add_revocations(0, LIVE)?;
    let full = gateway::start(stage, &plan)?;
    Client::connect(&full.address)?.get("/protected", Some(&full.token))?;
    let bytes = full.idle_kib.saturating_sub(idle) as f64 * 1024.0 / LIVE as f64;
    say(&format!(
        "with {LIVE} live revocations a gateway is ready after {:.1} s (without: {:.2} s), and holds {bytes:.0} bytes for each",
        full.until_ready.as_secs_f64(),
        ready.as_secs_f64()
    ))?;
    Ok(())
}

/// What a record of the audit log takes in Postgres, indexes included.
fn records() -> Result<(), Failure> {
    let postgres = Postgres::start()?;
    postgres.run(
        "CREATE TABLE audit_log (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL, event text NOT NULL, user_id uuid, username text NOT NULL, address text, request_id text, detail text, actor text, user_agent text, outcome text NOT NULL DEFAULT 'success', written_by xid8 DEFAULT pg_current_xact_id()); CREATE INDEX ON audit_log (user_id, id); CREATE INDEX ON audit_log (event, id); CREATE INDEX ON audit_log (at); CREATE INDEX ON audit_log (written_by)",
    )?;
    postgres.run(&format!(
        "INSERT INTO audit_log (at, event, user_id, username, address, request_id, user_agent) SELECT now() + i * interval '1 second', 'logged_in', gen_random_uuid(), 'user-' || i, '203.0.113.7', gen_random_uuid(), 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36' FROM generate_series(1, {RECORDS}) AS i"
    ))?;
    let bytes: f64 = postgres.ask("SELECT pg_total_relation_size('audit_log')")?.parse()?;
    let each = bytes / RECORDS as f64;
    say(&format!(
        "an audit record takes {each:.0} bytes of Postgres, indexes included: {:.1} GiB a year for one a second",
        each * 365.0 * 86_400.0 / (1u64 << 30) as f64
    ))?;
    Ok(())
}
