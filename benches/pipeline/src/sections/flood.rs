//! Clients that post logins without pause.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::client::Client;
use crate::gateway;

/// How long answers took in milliseconds, by status.
pub type Tally = BTreeMap<u16, Vec<f64>>;

/// Does `work` while so many connections post logins, after they have had a second to pile up.
pub fn during<T>(
    address: &str,
    connections: usize,
    work: impl FnOnce() -> Result<T, Failure>,
) -> Result<(T, Tally), Failure> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..connections).map(|_| scope.spawn(|| one_client(address, &over))).collect();
        std::thread::sleep(Duration::from_secs(1));
        let done = work();
        over.store(true, Ordering::Relaxed);
        let mut tally = Tally::new();
        for client in clients {
            for (status, took) in client.join().map_err(|_| "a client panicked")?? {
                tally.entry(status).or_default().extend(took);
            }
        }
        Ok((done?, tally))
    })
}

fn one_client(address: &str, over: &AtomicBool) -> Result<Tally, Failure> {
    let credentials = gateway::credentials();
    let mut client = Client::connect(address)?;
    let mut tally = Tally::new();
    while !over.load(Ordering::Relaxed) {
        let sent = Instant::now();
        let answer = client.post("/auth/login", None, &credentials)?;
        if answer.status == 503 && !answer.body.contains("overloaded") {
            return Err(format!("a login got {}", answer.body).into());
        }
        tally.entry(answer.status).or_default().push(sent.elapsed().as_secs_f64() * 1e3);
    }
    Ok(tally)
}
