//! What a hit costs, from each tier and for bodies of all sizes, beside bare Pingora passing the same
//! bytes on and nginx' own cache; and what a client sees of hits while the upstream is slow.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{steady, verdict};
use crate::Failure;
use crate::client::Client;
use crate::gateway::{self, Gateway, Plan};
use crate::peers::Peer;
use crate::peers::start::nginx_cache;
use crate::report::{self, Row, quantile, say};
use crate::stage::{Bare, Stage};
use crate::wrk::{self, Subject};

const ROUNDS: usize = 13;
const SECONDS: u32 = 1;
const LASTING: Duration = Duration::from_secs(10);
/// Clients that wait for the slow upstream meanwhile.
const WAITING: usize = 16;

const BARE: &str = "(a) bare Pingora passthrough, the same bytes from the upstream";
const PROCESS: &str = "(b) authenticated hit, process tier";
const REDIS: &str = "(c) authenticated hit, Redis";
const NGINX: &str = "(d) nginx proxy_cache, for everybody";
const NGINX_AUTH: &str = "(e) nginx proxy_cache behind auth_request, neither revocation nor limit";

/// The gateway's row, the other one, and how many times as much as that it should serve.
const TARGETS: [(&str, &str, f64); 4] =
    [(PROCESS, BARE, 2.0), (REDIS, BARE, 1.3), (PROCESS, NGINX, 1.0), (PROCESS, NGINX_AUTH, 1.0)];

/// A condition that doesn't hold: the answer is whole, but only the store gives answers with conditions.
const PAST_THE_PROCESS_TIER: &[&str] = &["-H", "If-None-Match: \"another\""];
/// Many at once would wait for each other longer than wrk waits.
const FEW: &[&str] = &["-c", "8"];
const FEW_PAST_THE_PROCESS_TIER: &[&str] = &["-c", "8", "-H", "If-None-Match: \"another\""];

const ROUTES: &str = "  - { path: \"/bytes/{*rest}\", methods: [GET], upstream: backend, access: { roles: [user] }, limits: [per-user], cache: { ttl: 1h, vary_by: shared, max_size: 8MiB } }
  - { path: \"/slow/{*rest}\", methods: [GET], upstream: backend, access: { roles: [user] }, limits: [per-user], cache: { ttl: 1s, vary_by: shared, stale_while_revalidate: 1h } }
";

pub fn run(stage: &Stage) -> Result<(), Failure> {
    let bare = stage.bare()?;
    let redis_url = Stage::redis_url();
    let plan = Plan { more_routes: ROUTES, ..Plan::new(stage, 19160, &redis_url)? };
    let gateway = gateway::start(stage, &plan)?;
    let peers = peers(stage)?;
    for (size, path, plain, past) in [
        ("1 KiB", "/bytes/1024", &[][..], PAST_THE_PROCESS_TIER),
        ("64 KiB", "/bytes/65536", &[][..], PAST_THE_PROCESS_TIER),
        (
            "5 MiB (8 connections; too large for the process tier)",
            "/bytes/5242880",
            FEW,
            FEW_PAST_THE_PROCESS_TIER,
        ),
    ] {
        say(&format!("\n### Bodies of {size}\n"))?;
        let fits = path != "/bytes/5242880";
        let subjects = subjects(path, plain, past, (&bare, &gateway, &peers), fits);
        check_tiers(&gateway, path, fits)?;
        let rows = wrk::in_turns(&subjects, ROUNDS, SECONDS)?;
        report::print_rows(&rows)?;
        if path == "/bytes/1024" {
            print_targets(&rows)?;
        }
    }
    say("\n### Hits while the upstream takes two seconds\n")?;
    latencies(&gateway)
}

/// In the order of the letters.
fn subjects<'a>(
    path: &str,
    plain: &'static [&'static str],
    past: &'static [&'static str],
    (bare, gateway, peers): (&'a Bare, &'a Gateway, &'a [Peer]),
    fits: bool,
) -> Vec<Subject<'a>> {
    let mut subjects = vec![Subject {
        name: BARE,
        processes: vec![&bare.process],
        url: format!("http://{}{path}", Bare::ADDRESS),
        token: None,
        more: plain,
    }];
    if fits {
        subjects.push(Subject { more: plain, ..gateway.subject(PROCESS, path, true) });
    }
    subjects.push(Subject { more: past, ..gateway.subject(REDIS, path, true) });
    subjects.extend(peers.iter().map(|peer| Subject {
        name: peer.name,
        processes: peer.processes.iter().collect(),
        url: format!("http://{}{path}", peer.address),
        token: Some(gateway.token.clone()),
        more: plain,
    }));
    subjects
}

/// Those that are to be had.
fn peers(stage: &Stage) -> Result<Vec<Peer>, Failure> {
    let mut ready = Vec::new();
    for (name, port, verifies) in [(NGINX, 19170, false), (NGINX_AUTH, 19180, true)] {
        match nginx_cache(stage, name, port, verifies) {
            Ok(peer) => ready.push(peer),
            Err(reason) => say(&format!("NOT MEASURED: {name}: {reason}\n"))?,
        }
    }
    Ok(ready)
}

/// What is measured must be what the row says.
fn check_tiers(gateway: &Gateway, path: &str, fits: bool) -> Result<(), Failure> {
    let mut client = Client::connect(&gateway.address)?;
    let token = Some(&*gateway.token);
    client.get(path, token)?;
    let ways: [(&[&str], &str); 2] =
        [(&[], if fits { "process" } else { "redis" }), (&["If-None-Match: \"another\""], "redis")];
    for (fields, tier) in ways {
        // The first may fill the process tier.
        client.get_with(path, token, fields)?;
        let answer = client.get_with(path, token, fields)?;
        let said = answer.field("cache-status").unwrap_or("nothing");
        if answer.status != 200 || !said.ends_with(&format!("; detail={tier}")) {
            return Err(format!("{path} got {} and {said:?}, not a hit from {tier}", answer.status).into());
        }
    }
    Ok(())
}

fn print_targets(rows: &[Row]) -> Result<(), Failure> {
    say(
        "\n| the gateway | beside | target | by requests/s | | by CPU time |\n| --- | --- | ---: | ---: | --- | ---: |",
    )?;
    for (own, other, target) in TARGETS {
        let row = |name: &str| rows.iter().find(|row| row.name == name);
        let (Some(gateway), Some(peer)) = (row(own), row(other)) else {
            say(&format!("| {own} | {other} | ≥ {target} | not measured | | |"))?;
            continue;
        };
        let (rate, cpu) = (gateway.rate_against(peer), gateway.cpu_against(peer));
        let met = verdict(rate >= target);
        say(&format!("| {own} | {other} | ≥ {target} | {rate:.2} | {met} | {cpu:.2} |"))?;
    }
    Ok(())
}

fn latencies(gateway: &Gateway) -> Result<(), Failure> {
    let token = Some(&*gateway.token);
    for path in ["/bytes/1024", "/slow/refreshed"] {
        Client::connect(&gateway.address)?.get(path, token)?;
    }
    say("| 2,000 hits/s | p50 µs | p99 µs | p99.9 µs |\n| --- | ---: | ---: | ---: |")?;
    print_latencies("nothing else", &steady::latencies(&gateway.address, "/bytes/1024", token, LASTING)?)?;
    let name = format!("{WAITING} clients wait for misses, two seconds each");
    print_latencies(&name, &while_others_wait(gateway)?)?;
    let refreshed = steady::latencies(&gateway.address, "/slow/refreshed", token, LASTING)?;
    print_latencies("stale each second, computed anew in the background for two", &refreshed)
}

fn while_others_wait(gateway: &Gateway) -> Result<Vec<f64>, Failure> {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..WAITING)
            .map(|number| {
                scope.spawn({
                    let is_over = &is_over;
                    move || wait(gateway, number, is_over)
                })
            })
            .collect();
        let measured = steady::latencies(&gateway.address, "/bytes/1024", Some(&gateway.token), LASTING);
        is_over.store(true, Ordering::Release);
        for client in waiting {
            client.join().map_err(|_| "a client panicked")??;
        }
        measured
    })
}

/// For one answer after the other that nobody has asked for before.
fn wait(gateway: &Gateway, client: usize, is_over: &AtomicBool) -> Result<(), Failure> {
    let mut connection = Client::connect(&gateway.address)?;
    for number in 0.. {
        if is_over.load(Ordering::Acquire) {
            break;
        }
        let status = connection.get(&format!("/slow/{client}/{number}"), Some(&gateway.token))?.status;
        if status != 200 {
            return Err(format!("a miss got {status}").into());
        }
    }
    Ok(())
}

fn print_latencies(name: &str, latencies: &[f64]) -> Result<(), Failure> {
    let [half, most, nearly_all] = [0.5, 0.99, 0.999].map(|share| quantile(latencies.iter().copied(), share));
    say(&format!("| {name} | {half:.0} | {most:.0} | {nearly_all:.0} |"))?;
    Ok(())
}
