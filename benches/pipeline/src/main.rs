//! `./dev bench` and `./dev peers`: what the gateway costs over bare Pingora, and where it stands
//! beside other proxies that do its work. Load generator, upstream and Redis run on core 0, the
//! proxy under test on core 1. The proxy's CPU time per request is read beside the rate: where
//! core 0 is the limit, only the former tells. Subjects take turns within each round and are
//! compared within it; tables show medians over all rounds. Ratios count, not figures.

mod callgrind;
mod client;
mod gateway;
mod peers;
mod postgres;
mod process;
mod redis;
mod report;
mod sections;
mod stage;
mod table;
mod totp;
mod train;
mod wrk;

use std::error::Error;

use stage::Stage;

const USAGE: &str = "usage: portcullis-bench [table | peers | latency | logins | routes | commands | logout | standing | login-timing | accounts | cache | memory | instructions | hostile [seconds] | scale | reload [seconds] | soak [seconds] | soak-cache [seconds] | train]";

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    match std::env::args().nth(1).as_deref() {
        None => {
            table::run(&Stage::set()?)?;
            sections::run(None)
        }
        Some("table") => table::run(&Stage::set()?),
        Some("peers") => peers::run(&Stage::set()?),
        Some("train") => train::run(&Stage::set()?),
        Some("reload") => sections::reload::run(&Stage::set()?, std::env::args().nth(2).as_deref()),
        Some("hostile") => sections::hostile::run(&Stage::set()?, std::env::args().nth(2).as_deref()),
        Some("scale") => sections::scale::run(&Stage::set()?),
        Some("soak") => sections::soak::run(&Stage::set()?, std::env::args().nth(2).as_deref()),
        Some("soak-cache") => sections::soak_cache::run(&Stage::set()?, std::env::args().nth(2).as_deref()),
        Some(section) if sections::knows(section) => sections::run(Some(section)),
        Some(_) => Err(USAGE.into()),
    }
}
