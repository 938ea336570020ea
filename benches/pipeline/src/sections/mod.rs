//! What the table doesn't show: how the gateway holds up under a constant rate, logins, many
//! routes, logouts, idle connections and long use, what it asks of Redis, what a hit of the cache and
//! what a request takes.

mod accounts;
mod attack;
mod cache;
mod commands;
mod flood;
pub mod hostile;
mod instructions;
mod latency;
mod login_timing;
mod logins;
mod logout;
mod memory;
pub mod reload;
mod routes;
pub mod scale;
pub mod soak;
pub mod soak_cache;
mod standing;
mod steady;

use crate::Failure;
use crate::report::say;
use crate::stage::Stage;

type Section = fn(&Stage) -> Result<(), Failure>;

const ALL: [(&str, &str, Section); 11] = [
    ("latency", "Latency at a constant rate", latency::run),
    ("logins", "Login flood", logins::run),
    ("routes", "Route tables of any size", routes::run),
    ("commands", "Redis commands per request", commands::run),
    ("logout", "Logout across two gateways", logout::run),
    ("cache", "Hits of the response cache", cache::run),
    ("standing", "Changes of standing across two gateways", standing::run),
    ("login-timing", "What the time of a refused login tells", login_timing::run),
    ("accounts", "A million accounts", accounts::run),
    ("memory", "Memory per idle connection", memory::run),
    ("instructions", "Instructions and allocations per request", instructions::run),
];

/// The section of that name, or all of them. One that fails is named; the others are run.
pub fn run(wanted: Option<&str>) -> Result<(), Failure> {
    let sections = ALL.iter().filter(|(name, ..)| wanted.is_none_or(|wanted| wanted == *name));
    for (_, title, section) in sections {
        say(&format!("\n## {title}\n"))?;
        if let Err(reason) = Stage::set().and_then(|stage| section(&stage)) {
            say(&format!("NOT MEASURED: {reason}"))?;
        }
    }
    Ok(())
}

pub fn knows(name: &str) -> bool {
    ALL.iter().any(|(known, ..)| *known == name)
}

fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "MISSED" }
}
