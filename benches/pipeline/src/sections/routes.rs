//! Whether it matters how many routes and limits the file has: to a request, and to a reload.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::verdict;
use crate::Failure;
use crate::client::Client;
use crate::gateway::{self, Gateway, Plan};
use crate::report::{median, quantile, say};
use crate::stage::Stage;
use crate::wrk;

const PAIRS: usize = 5;
const ROUNDS: usize = 3;
const SECONDS: u32 = 1;
pub const FEW: usize = 10;
pub const ROUTES: usize = 10_000;
pub const LIMITS: usize = 1_000;
const LEAST: f64 = 0.95;
const RELOADS: usize = 5;
const MOST_MS: f64 = 200.0;
/// For file events to come, and for a reload that follows another.
const PATIENCE: Duration = Duration::from_secs(10);

pub fn run(stage: &Stage) -> Result<(), Failure> {
    let (few_limits, few_routes) = (limits(FEW), routes(FEW, FEW));
    let few =
        Plan { more_limits: &few_limits, more_routes: &few_routes, ..Plan::new(stage, 19050, "embedded")? };
    let (limits, many_routes) = (limits(LIMITS), routes(ROUTES, LIMITS));
    let many =
        Plan { more_limits: &limits, more_routes: &many_routes, ..Plan::new(stage, 19060, "embedded")? };
    let pairs: Vec<(f64, f64)> =
        (0..PAIRS).map(|_| compare(stage, &few, &many)).collect::<Result<_, Failure>>()?;
    let (rate, cpu) = (median(pairs.iter().map(|pair| pair.0)), median(pairs.iter().map(|pair| pair.1)));
    let each: Vec<String> = pairs.iter().map(|pair| format!("{:.2}", pair.0)).collect();
    say(&format!(
        "10,000 routes and 1,000 limits against 10 routes, the same request: {rate:.3} by requests/s (target ≥ {LEAST}: {}), {cpu:.3} by CPU time; medians of {PAIRS} pairs of processes: {}",
        verdict(rate >= LEAST),
        each.join(", ")
    ))?;

    let large = gateway::start(stage, &many)?;
    say(&format!("start to ready with 10,000 routes: {} ms", large.until_ready.as_millis()))?;
    let by_event = reloads(&large, &many, "event", |_| Ok(()))?;
    let by_signal = reloads(&large, &many, "signal", hang_up)?;
    print_reloads("noticed by itself, 100 ms for the file to come to rest included", &by_event)?;
    print_reloads("told by SIGHUP at once", &by_signal)
}

/// Requests per second with `many` routes against those with `few`, and the same by CPU time. With
/// processes of their own each time: one keeps its luck with the caches for as long as it lives.
fn compare(stage: &Stage, few: &Plan<'_>, many: &Plan<'_>) -> Result<(f64, f64), Failure> {
    let (small, large) = (gateway::start(stage, few)?, gateway::start(stage, many)?);
    let subjects = [
        small.subject("10 routes", "/protected", true),
        large.subject("10,000 routes, 1,000 limits", "/protected", true),
    ];
    let rows = wrk::in_turns(&subjects, ROUNDS, SECONDS)?;
    let [of_few, of_many] = rows.as_slice() else { return Err("two subjects, but not two rows".into()) };
    Ok((of_many.rate_against(of_few), of_many.cpu_against(of_few)))
}

pub fn limits(count: usize) -> String {
    (0..count).fold(String::new(), |mut text, number| {
        let _ = writeln!(text, "  limit-{number}: {{ rate: {}/1s, by: user }}", 900_000 + number);
        text
    })
}

/// Fixed paths, parameters and wildcards in turn, each with one of so many limits.
pub fn routes(count: usize, limits: usize) -> String {
    (0..count).fold(String::new(), |mut text, number| {
        let rest = ["list", "{id}/items", "{*rest}"][number % 3];
        let limit = number % limits;
        let _ = writeln!(
            text,
            "  - {{ path: \"/service-{number}/{rest}\", upstream: backend, limits: [limit-{limit}] }}"
        );
        text
    })
}

/// Milliseconds from when a file with one more route is put in place until that route answers.
fn reloads(
    gateway: &Gateway,
    plan: &Plan<'_>,
    kind: &str,
    tell: impl Fn(&Gateway) -> Result<(), Failure>,
) -> Result<Vec<f64>, Failure> {
    let mut took = Vec::new();
    for number in 0..RELOADS {
        let path = format!("/new-{kind}-{number}");
        let yaml = plan.yaml() + &format!("  - {{ path: {path}, upstream: backend, access: public }}\n");
        let mut client = Client::connect(&gateway.address)?;
        let saved = save(&gateway.config, &yaml)?;
        tell(gateway)?;
        while client.get(&path, None)?.status != 200 {
            if saved.elapsed() > PATIENCE {
                return Err("the new route didn't come to be".into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        took.push(saved.elapsed().as_secs_f64() * 1e3);
        // Lest the next one meets what follows this one.
        std::thread::sleep(Duration::from_millis(1500));
    }
    Ok(took)
}

/// As editors do: the whole file at once.
pub fn save(config: &Path, yaml: &str) -> Result<Instant, Failure> {
    let next = config.with_extension("next");
    std::fs::write(&next, yaml)?;
    let saved = Instant::now();
    std::fs::rename(&next, config)?;
    Ok(saved)
}

fn hang_up(gateway: &Gateway) -> Result<(), Failure> {
    gateway.process.signal("HUP")
}

fn print_reloads(how: &str, took: &[f64]) -> Result<(), Failure> {
    let (half, most) = (median(took.iter().copied()), quantile(took.iter().copied(), 1.0));
    say(&format!(
        "from saving the 10,000 routes with one more until that one answers, {how}: median {half:.0} ms, longest {most:.0} ms (target < {MOST_MS:.0} ms: {})",
        verdict(half < MOST_MS)
    ))?;
    Ok(())
}
