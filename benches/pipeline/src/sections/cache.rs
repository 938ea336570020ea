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
const PROCESS_IN_TURN: &str = "(f) as (b), a thousand answers in turn";
const NGINX_IN_TURN: &str = "(g) as (d), a thousand answers in turn";

/// The gateway's row, the other one, and how many times as much as that it should serve.
const TARGETS: [(&str, &str, f64); 5] = [
    (PROCESS, BARE, 2.0),
    (REDIS, BARE, 1.3),
    (PROCESS, NGINX, 1.0),
    (PROCESS, NGINX_AUTH, 1.0),
    (PROCESS_IN_TURN, NGINX_IN_TURN, 1.0),
];
/// No two requests of a connection that follow each other are the same; the process tier holds all answers.
const IN_TURN: usize = 1000;

/// With the smallest process tier and many more answers than it holds, asked for one after the other, nearly
/// all come from Redis; each goes into the process tier and out again.
const SMALLEST: &str = "cache: { memory: 1MiB }";
const LEAST_OF_ONE_TIER: f64 = 0.95;
const SCRIPT: &str = r#"
local requests, at = {}, 0
init = function()
  for number = 1, COUNT do requests[number] = wrk.format("GET", "PATH/" .. number) end
end
request = function()
  at = at % COUNT + 1
  return requests[at]
end
"#;

/// Bodies of one size.
struct Size {
    name: &'static str,
    path: &'static str,
    /// How many answers fill the smallest process tier many times over; `None` where it holds none, nor does
    /// any other.
    spilling: Option<usize>,
}

const SMALL: &str = "/bytes/1024";
const SIZES: [Size; 3] = [
    Size { name: "1 KiB", path: SMALL, spilling: Some(16_384) },
    Size { name: "64 KiB", path: "/bytes/65536", spilling: Some(512) },
    Size {
        name: "5 MiB (8 connections; too large for the process tier)",
        path: "/bytes/5242880",
        spilling: None,
    },
];

const ROUTES: &str = "  - { path: \"/bytes/{*rest}\", methods: [GET], upstream: backend, access: { roles: [user] }, limits: [per-user], cache: { ttl: 1h, vary_by: shared, max_size: 8MiB } }
  - { path: \"/slow/{*rest}\", methods: [GET], upstream: backend, access: { roles: [user] }, limits: [per-user], cache: { ttl: 1s, vary_by: shared, stale_while_revalidate: 1h } }
";

pub fn run(stage: &Stage) -> Result<(), Failure> {
    let bare = stage.bare()?;
    let redis_url = Stage::redis_url();
    let plan = |port| Ok::<_, Failure>(Plan { more_routes: ROUTES, ..Plan::new(stage, port, &redis_url)? });
    let gateway = gateway::start(stage, &plan(19160)?)?;
    let spilling = gateway::start(stage, &Plan { more: SMALLEST, ..plan(19164)? })?;
    let peers = peers(stage)?;
    for size in &SIZES {
        say(&format!("\n### Bodies of {}\n", size.name))?;
        let mut subjects = subjects(stage, size, &bare, [&gateway, &spilling], &peers)?;
        if size.path == SMALL {
            subjects.extend(in_turn(stage, &gateway, &peers)?);
        }
        let rows = wrk::in_turns(&subjects, ROUNDS, SECONDS)?;
        report::print_rows(&rows)?;
        if size.path == SMALL {
            print_targets(&rows)?;
        }
    }
    say("\n### Hits while the upstream takes two seconds\n")?;
    latencies(&gateway)
}

/// In the order of the letters.
fn subjects<'a>(
    stage: &Stage,
    size: &Size,
    bare: &'a Bare,
    [gateway, spilling]: [&'a Gateway; 2],
    peers: &'a [Peer],
) -> Result<Vec<Subject<'a>>, Failure> {
    let path = size.path;
    // Many large ones at once would wait for each other longer than wrk waits.
    let more: Vec<String> = match size.spilling {
        Some(_) => Vec::new(),
        None => ["-c", "8"].map(str::to_owned).into(),
    };
    let mut subjects = vec![Subject {
        name: BARE,
        processes: vec![&bare.process],
        url: format!("http://{}{path}", Bare::ADDRESS),
        token: None,
        more: more.clone(),
    }];
    match size.spilling {
        Some(count) => {
            check_tier(gateway, [path].into_iter().map(str::to_owned), "process")?;
            check_tier(spilling, (1..=count).map(|number| format!("{path}/{number}")), "redis")?;
            subjects.push(gateway.subject(PROCESS, path, true));
            let more = one_after_the_other(stage, path, count)?;
            subjects.push(Subject { more, ..spilling.subject(REDIS, path, true) });
        }
        None => {
            check_tier(gateway, [path].into_iter().map(str::to_owned), "redis")?;
            subjects.push(Subject { more: more.clone(), ..gateway.subject(REDIS, path, true) });
        }
    }
    subjects.extend(
        peers.iter().map(|peer| Subject { more: more.clone(), ..peer.subject(path, &gateway.token) }),
    );
    Ok(subjects)
}

/// Further words for wrk.
fn one_after_the_other(stage: &Stage, path: &str, count: usize) -> Result<Vec<String>, Failure> {
    let script = stage.folder("cache-load")?.join(format!("{count}.lua"));
    std::fs::write(&script, SCRIPT.replace("COUNT", &count.to_string()).replace("PATH", path))?;
    Ok(vec!["-s".to_owned(), script.display().to_string()])
}

fn in_turn<'a>(stage: &Stage, gateway: &'a Gateway, peers: &'a [Peer]) -> Result<Vec<Subject<'a>>, Failure> {
    check_tier(gateway, (1..=IN_TURN).map(|number| format!("{SMALL}/{number}")), "process")?;
    let more = one_after_the_other(stage, SMALL, IN_TURN)?;
    let nginx = peers.iter().find(|peer| peer.name == NGINX);
    let nginx = nginx.map(|peer| Subject {
        name: NGINX_IN_TURN,
        more: more.clone(),
        ..peer.subject(SMALL, &gateway.token)
    });
    let own = Subject { more, ..gateway.subject(PROCESS_IN_TURN, SMALL, true) };
    Ok(std::iter::once(own).chain(nginx).collect())
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
fn check_tier(
    gateway: &Gateway,
    paths: impl Iterator<Item = String> + Clone,
    tier: &str,
) -> Result<(), Failure> {
    let mut client = Client::connect(&gateway.address)?;
    let token = Some(&*gateway.token);
    for path in paths.clone() {
        client.get(&path, token)?;
    }
    let (mut asked, mut right) = (0_u32, 0_u32);
    for path in paths {
        let answer = client.get(&path, token)?;
        let said = answer.field("cache-status").unwrap_or("nothing");
        if answer.status != 200 || !said.starts_with("portcullis; hit; ttl=") {
            return Err(format!("{path} got {} and {said:?}, not a hit", answer.status).into());
        }
        asked += 1;
        right += u32::from(said.ends_with(&format!("; detail={tier}")));
    }
    if f64::from(right) < LEAST_OF_ONE_TIER * f64::from(asked) {
        return Err(format!("only {right} of {asked} hits came from {tier}").into());
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
