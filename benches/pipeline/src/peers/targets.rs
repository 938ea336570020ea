//! How far ahead of each peer the gateway is meant to be, and whether it is.

use super::start::{ENVOY, HAPROXY, NGINX_AUTH_REQUEST, NGINX_LUA, NGINX_LUA_CACHED};
use crate::report::{Row, say};

pub const ON_REDIS: &str = "(b) the gateway: JWT + revocation + role + limit, on Redis";
pub const EMBEDDED: &str = "(c) the gateway: the same, embedded";

/// The gateway's row, the other one, and how many times as much as that it should serve.
const TARGETS: [(&str, &str, f64); 7] = [
    (ON_REDIS, "bare", 1.25),
    (ON_REDIS, HAPROXY, 1.0),
    (EMBEDDED, HAPROXY, 1.0),
    (ON_REDIS, ENVOY, 2.5),
    (ON_REDIS, NGINX_LUA, 1.35),
    (ON_REDIS, NGINX_LUA_CACHED, 1.35),
    (ON_REDIS, NGINX_AUTH_REQUEST, 1.35),
];

pub fn print(rows: &[Row]) -> std::io::Result<()> {
    say("\n| the gateway | beside | target | by requests/s | | by CPU time | |")?;
    say("| --- | --- | ---: | ---: | --- | ---: | --- |")?;
    for (own, other, target) in TARGETS {
        let row = |name: &str| rows.iter().find(|row| row.name.contains(name));
        match (row(own), row(other)) {
            (Some(gateway), Some(peer)) => {
                let (rate, cpu) = (gateway.rate_against(peer), gateway.cpu_against(peer));
                say(&format!(
                    "| {} | {} | ≥ {target} | {rate:.2} | {} | {cpu:.2} | {} |",
                    own,
                    peer.name,
                    verdict(rate, target),
                    verdict(cpu, target)
                ))?;
            }
            _ => say(&format!("| {own} | {other} | ≥ {target} | not measured | | not measured | |"))?,
        }
    }
    Ok(())
}

fn verdict(figure: f64, target: f64) -> &'static str {
    if figure >= target { "met" } else { "MISSED" }
}
