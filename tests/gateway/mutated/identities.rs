//! Many clients on few connections: each answer is for the user who asked.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::answers;
use crate::harness::{self, Gateway, PATIENCE, Setup};
use crate::random::{self, Random, number};

const USERS: usize = 8;
const CONNECTIONS: u64 = 16;
/// Requests of a short run; `FUZZ_REQUESTS` says how many otherwise.
const REQUESTS: u64 = 4_000;
/// So many are sent one behind the other before their answers are read.
const PIPELINED: u64 = 5;

const FILE: &str = r#"
    routes:
      - { path: /echo, upstream: example }
      - { path: /echo, host: kept.example, upstream: example, cache: { ttl: 1h, vary_by: user } }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn identities_never_mix() {
    let seed = number("FUZZ_SEED").unwrap_or_else(random::fresh_seed);
    let requests = number("FUZZ_REQUESTS").unwrap_or(REQUESTS);
    eprintln!("FUZZ_SEED={seed}");
    for fast_lane in [true, false] {
        let setup = Setup::from(FILE).with(&format!("forwarding: {{ fast_lane: {fast_lane} }}"));
        let gateway = Arc::new(harness::gateway(setup).await);
        let users = users(&gateway).await;
        let connections = (0..CONNECTIONS).map(|connection| {
            let random = Random::new(seed, connection);
            tokio::spawn(ask(gateway.clone(), users.clone(), random, requests / CONNECTIONS / 2))
        });
        for outcome in futures::future::join_all(connections).await {
            outcome.expect("each answer is for the user who asked");
        }
    }
}

struct User {
    id: String,
    token: String,
}

async fn users(gateway: &Gateway) -> Arc<Vec<User>> {
    let mut users = Vec::new();
    for number in 0..USERS {
        let client = gateway.register(&format!("user{number}")).await;
        users.push(User { id: client.id().await, token: client.token() });
    }
    Arc::new(users)
}

/// On one connection.
async fn ask(gateway: Arc<Gateway>, users: Arc<Vec<User>>, mut random: Random, requests: u64) {
    let mut stream = TcpStream::connect(gateway.address()).await.expect("the gateway listens");
    let mut received = Vec::new();
    for _ in 0..requests.div_ceil(PIPELINED) {
        let asking: Vec<&User> = (0..PIPELINED).map(|_| &users[random.below(users.len())]).collect();
        let mut bytes = Vec::new();
        for user in &asking {
            let host = if random.chance(50) { "kept.example" } else { "gateway" };
            let text =
                format!("GET /echo HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\n\r\n", user.token);
            bytes.extend(text.into_bytes());
        }
        stream.write_all(&bytes).await.expect("the connection stays open");
        for user in asking {
            let answer = next(&mut stream, &mut received).await;
            let others = users.iter().filter(|other| other.id != user.id);
            assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(&user.id), "{answer}");
            assert!(others.into_iter().all(|other| !answer.contains(&other.id)), "{answer}");
        }
    }
}

/// The next whole answer as text.
async fn next(stream: &mut TcpStream, received: &mut Vec<u8>) -> String {
    loop {
        if let Some(length) = answers::length_of_first(received) {
            let answer: Vec<u8> = received.drain(..length).collect();
            return String::from_utf8_lossy(&answer).into_owned();
        }
        let read = timeout(PATIENCE, stream.read_buf(received)).await.expect("an answer comes");
        assert!(matches!(read, Ok(1..)), "the connection stays open");
    }
}
