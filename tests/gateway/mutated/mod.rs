//! Requests whose framing, target or fields are mutated, split at any byte and followed by a good one on the same
//! connection, by the short way and by Pingora's. The upstream must get the same bytes and the client the same answer, to
//! the end of the connection. (`differential` compares single requests by more ways.)
//!
//! `./dev test` makes a short run. `./dev fuzz 3600` makes one of an hour; the environment variables `FUZZ_SECONDS` and
//! `FUZZ_SEED` say how long it lasts and with which random numbers, `FUZZ_CASE` plays one case again.

mod answers;
mod backend;
mod case;
mod identities;
mod kept;
mod mutations;
mod ways;

use std::time::{Duration, Instant};

use self::case::Case;
use self::ways::{Outcome, Ways};
use crate::random::{self, Random, number};

/// Cases of a short run.
const CASES: u64 = 400;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_brings_the_same_to_the_upstream_and_to_the_client() {
    let seed = number("FUZZ_SEED").unwrap_or_else(random::fresh_seed);
    let duration = number("FUZZ_SECONDS").map(Duration::from_secs);
    eprintln!("FUZZ_SEED={seed}");
    let ways = Ways::start().await;
    let begun = Instant::now();
    let mut different = Vec::new();
    let mut count = number("FUZZ_CASE").unwrap_or_default();
    let cases = if count > 0 { count + 1 } else { CASES };
    while duration.map_or(count < cases, |all| begun.elapsed() < all) {
        let case = Case::new(&mut Random::new(seed, count), count);
        let [short, long] = ways.play(&case).await;
        if let Some(difference) = difference(&case, &short, &long) {
            eprintln!("case {count}: {difference}");
            different.push(count);
        }
        count += 1;
    }
    eprintln!("{count} cases in {} s", begun.elapsed().as_secs());
    assert!(different.is_empty(), "FUZZ_SEED={seed}: cases {different:?}, told above");
}

/// What differs, or what is wrong by both ways.
fn difference(case: &Case, short: &Outcome, long: &Outcome) -> Option<String> {
    let told = |what: &str| {
        Some(format!("{what}\n  sent: {}\n  short way: {short:#?}\n  long way: {long:#?}", case.as_text()))
    };
    for outcome in [short, long] {
        if outcome.is_foreign(case) {
            return told("an answer or a request that isn't of this connection");
        }
        if !outcome.heard.iter().all(|heard| heard.is_well_formed) {
            return told("the upstream got what it can't read");
        }
    }
    if short.heard != long.heard {
        return told("the upstream gets another request");
    }
    if short.answers != long.answers {
        return told("the client gets another answer");
    }
    None
}
