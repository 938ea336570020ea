//! Two gateways on one Postgres and one Redis under random operations of many people, while gateways and stores are
//! killed, paused, cut off and started again. What was acknowledged is recorded, and what must follow from it is
//! checked; `rules` lists the rules.
//!
//! `./dev test` makes a short run. `./dev fleet 1200` makes one of twenty minutes; the environment variables
//! `FLEET_SECONDS` and `FLEET_SEED` say how long it lasts and with which random numbers.

mod account;
mod faults;
mod fleet;
mod outcome;
mod person;
mod rules;
mod sessions;
mod traffic;

use std::time::{Duration, Instant};

use self::faults::Fault;
use self::fleet::Fleet;
use self::person::Person;
use self::rules::History;
use crate::harness::eventually;
use crate::random::{self, Random, number};

const PEOPLE: u64 = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault_breaks_what_two_gateways_have_acknowledged() {
    let seed = number("FLEET_SEED").unwrap_or_else(random::fresh_seed);
    let duration = number("FLEET_SECONDS").map(Duration::from_secs);
    eprintln!("FLEET_SEED={seed}");
    let fleet = Fleet::start().await;
    let history = History::default();
    let people: Vec<_> = (0..PEOPLE)
        .map(|number| {
            let person = Person::new(number, Random::new(seed, number), fleet.clone(), history.clone());
            tokio::spawn(person.live())
        })
        .collect();

    let mut random = Random::new(seed, PEOPLE);
    let begun = Instant::now();
    let mut faults = 0;
    // A short run has each kind of fault once, and goes on until each kind of operation was acknowledged.
    while !history.is_broken() && duration.map_or(faults < Fault::ALL.len(), |all| begun.elapsed() < all) {
        let fault = match duration {
            None => Fault::ALL[faults],
            Some(_) => Fault::ALL[random.below(Fault::ALL.len())],
        };
        fault.cause(&fleet, &mut random).await;
        faults += 1;
    }
    eventually("each kind of operation to be acknowledged", async || {
        (history.is_broken() || history.missing().is_empty()).then_some(())
    })
    .await;
    fleet.end();
    for person in people {
        person.await.expect("nobody panics").look_back().await;
    }

    history.report(faults, begun.elapsed());
}
