//! A constant rate of requests: what a client sees of a gateway that isn't at its limit.

use std::time::{Duration, Instant};

use crate::Failure;
use crate::client::Client;

const CONNECTIONS: u32 = 4;
const REQUESTS_PER_SECOND: u32 = 2000;

/// How long each answer took, in microseconds. Any answer but 200 is a failure.
pub fn latencies(
    address: &str,
    path: &str,
    token: Option<&str>,
    lasting: Duration,
) -> Result<Vec<f64>, Failure> {
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..CONNECTIONS)
            .map(|number| {
                let begins = Instant::now() + Duration::from_secs(1) / REQUESTS_PER_SECOND * number;
                scope.spawn(move || one_connection(address, path, token, begins, lasting))
            })
            .collect();
        let mut all = Vec::new();
        for worker in workers {
            all.extend(worker.join().map_err(|_| "a client panicked")??);
        }
        Ok(all)
    })
}

fn one_connection(
    address: &str,
    path: &str,
    token: Option<&str>,
    begins: Instant,
    lasting: Duration,
) -> Result<Vec<f64>, Failure> {
    let pause = Duration::from_secs(1) * CONNECTIONS / REQUESTS_PER_SECOND;
    let mut client = Client::connect(address)?;
    let mut latencies = Vec::new();
    let mut due = begins;
    while due < begins + lasting {
        let now = Instant::now();
        std::thread::sleep(due.saturating_duration_since(now));
        // From when it was due, if the answer before it kept it waiting: a client that waits along
        // with the gateway would hide the worst.
        let sent = if now > due { due } else { Instant::now() };
        let status = client.get(path, token)?.status;
        if status != 200 {
            return Err(format!("{path} got {status}").into());
        }
        latencies.push(sent.elapsed().as_secs_f64() * 1e6);
        due += pause;
    }
    Ok(latencies)
}
