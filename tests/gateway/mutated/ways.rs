//! The gateways that a case is played by: one with the short way open, one with it closed.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::answers::{self, Answer};
use super::backend::{Backend, Heard};
use super::case::Case;
use crate::harness::{self, Gateway, PATIENCE, Setup};

const FILE: &str = r#"
    upstreams: { example: { servers: ["${BACKEND}"], timeouts: { read: 10s } } }
    routes:
      - { path: "/echo/{*rest}", upstream: example, access: public, max_body: 10KiB }
"#;

pub struct Ways([(Gateway, Backend); 2]);

#[derive(Debug)]
pub struct Outcome {
    pub heard: Vec<Heard>,
    pub answers: Vec<Answer>,
}

impl Ways {
    pub async fn start() -> Self {
        Self([way(true).await, way(false).await])
    }

    pub async fn play(&self, case: &Case) -> [Outcome; 2] {
        let [short, long] = &self.0;
        let (short, long) = tokio::join!(play(short, case), play(long, case));
        [short, long]
    }
}

async fn way(fast_lane: bool) -> (Gateway, Backend) {
    let backend = Backend::start().await;
    let setup = Setup::from(FILE).with(&format!("forwarding: {{ fast_lane: {fast_lane} }}"));
    (harness::gateway(setup.env("BACKEND", backend.address.to_string())).await, backend)
}

async fn play((gateway, backend): &(Gateway, Backend), case: &Case) -> Outcome {
    let received = exchange(gateway, &case.parts).await;
    Outcome { answers: answers::parse(&received, case.is_head), heard: backend.take() }
}

/// Writes each part, and reads to the end of the connection.
pub async fn exchange(gateway: &Gateway, parts: &[Vec<u8>]) -> Vec<u8> {
    let stream = TcpStream::connect(gateway.address()).await.expect("the gateway listens");
    stream.set_nodelay(true).expect("the socket is open");
    let (mut from, mut to) = stream.into_split();
    let write = async {
        for part in parts {
            // A gateway that refuses early may close before it has read everything.
            if to.write_all(part).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let mut received = Vec::new();
    let read = async { while let Ok(1..) = from.read_buf(&mut received).await {} };
    let both = async { tokio::join!(write, read) };
    let is_over = timeout(PATIENCE, both).await.is_ok();
    assert!(is_over, "the gateway neither answers nor closes: {}", parts.concat().escape_ascii());
    received
}

impl Outcome {
    /// Whether something is of another case.
    pub fn is_foreign(&self, case: &Case) -> bool {
        let heard = self.heard.iter().map(|heard| heard.line.as_str());
        let answered = self.answers.iter().map(|answer| answer.body.as_str());
        heard.chain(answered).flat_map(ids).any(|id| id != case.id)
    }
}

/// The ids of cases in a text: `c`, a number, `c`, the same number, `c`.
fn ids(text: &str) -> impl Iterator<Item = &str> {
    text.split('/').filter(|segment| {
        let numbers = segment.strip_prefix('c').and_then(|rest| rest.strip_suffix('c')?.split_once('c'));
        numbers.is_some_and(|(one, other)| one == other && one.parse::<u64>().is_ok())
    })
}
