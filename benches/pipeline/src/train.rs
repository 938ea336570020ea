//! The load under which `./dev build --pgo` counts which way the code goes: what a busy gateway does, in
//! about the shares in which it does it.

use std::time::Duration;

use portcullis_bench::token;

use crate::Failure;
use crate::client::Client;
use crate::gateway::{self, Gateway, Plan};
use crate::stage::Stage;
use crate::wrk;

const SECONDS: u32 = 3;
const REFUSALS: u32 = 500;
const LOGINS: u32 = 10;
/// For a reload to happen.
const PAUSE: Duration = Duration::from_secs(1);

pub fn run(stage: &Stage) -> Result<(), Failure> {
    let redis_url = Stage::redis_url();
    let closed = "forwarding: { fast_lane: false }";
    let plans = [
        Plan::new(stage, 19040, "embedded")?,
        Plan::new(stage, 19050, &redis_url)?,
        Plan { mode: "strict", ..Plan::new(stage, 19060, &redis_url)? },
        Plan { more: closed, ..Plan::new(stage, 19070, &redis_url)? },
    ];
    for plan in &plans {
        let gateway = gateway::start(stage, plan)?;
        load(&gateway)?;
        refusals(&gateway)?;
        gateway.process.signal("HUP")?;
        std::thread::sleep(PAUSE);
        gateway.process.end()?;
    }
    Ok(())
}

fn load(gateway: &Gateway) -> Result<(), Failure> {
    for (path, with_token) in
        [("/protected", true), ("/public", false), ("/cached", true), ("/protected", true)]
    {
        wrk::run(&gateway.subject("load", path, with_token), SECONDS)?;
    }
    for _ in 0..LOGINS {
        gateway::log_in(&gateway.address)?;
    }
    Ok(())
}

fn refusals(gateway: &Gateway) -> Result<(), Failure> {
    let mut client = Client::connect(&gateway.address)?;
    let forged = token::forged(&gateway.token);
    for _ in 0..REFUSALS {
        for (path, token, expected) in
            [("/protected", None, 401), ("/protected", Some(forged.as_str()), 401), ("/nowhere", None, 404)]
        {
            let status = client.get(path, token)?.status;
            if status != expected {
                return Err(format!("{path} got {status} instead of {expected}").into());
            }
        }
    }
    Ok(())
}
