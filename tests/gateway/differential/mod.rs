//! One request by every way: whole and cut in two, by the short ways and by Pingora's, on a fresh connection and after a
//! hit, over HTTP/1 and HTTP/2. The answer, and what the upstream is sent, must be the same, and a good request after it
//! must get its own answer.
//!
//! `./dev test` makes a short run. `./dev fuzz 3600` makes one of an hour; the environment variables `FUZZ_SECONDS` and
//! `FUZZ_SEED` say how long it lasts and with which random numbers.

mod mirror;
mod requests;

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use self::mirror::Mirror;
use self::requests::{Made, Parts};
use crate::harness::{self, Gateway, Http2, Setup, Stores};
use crate::random::{self, Random, number};

const CASES: usize = 150;
/// For an answer that doesn't come, since the request isn't whole.
const PATIENCE: Duration = Duration::from_secs(20);
const GOOD: &[u8] = b"GET /kept/good HTTP/1.1\r\nHost: shop.example\r\n\r\n";

fn setup(mirror: &Mirror, forwarding: &str) -> Setup {
    let yaml = format!(
        "upstreams: {{ mirror: {{ servers: [\"{}\"] }} }}
routes:
  - {{ path: \"/plain/{{*rest}}\", upstream: mirror, access: public }}
  - path: \"/kept/{{*rest}}\"
    upstream: mirror
    access: public
    cache: {{ ttl: 1h, vary_by: shared, headers: [X-Tenant-Id] }}
  - {{ path: \"/mine/{{*rest}}\", upstream: mirror }}
{forwarding}",
        mirror.address()
    );
    Setup::from(&*yaml)
}

/// What became of a request, without what differs from one to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Answer {
        status: u16,
        reason: String,
        body: String,
    },
    /// Closed without an answer.
    Closed,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_makes_the_same_of_a_request() {
    let seed = number("FUZZ_SEED").unwrap_or_else(random::fresh_seed);
    let duration = number("FUZZ_SECONDS").map(Duration::from_secs);
    eprintln!("FUZZ_SEED={seed}");
    let mirror = Mirror::start().await;
    let stores = Stores::servers().await;
    let short = harness::gateway(setup(&mirror, "").stores(&stores).tls()).await;
    let long = setup(&mirror, "forwarding: { fast_lane: false }").stores(&stores);
    let long = harness::gateway(long.upstream(short.upstream())).await;
    let token = short.register("alice").await.token();
    let (mut random, begun) = (Random::new(seed, 0), Instant::now());

    let mut cases = 0;
    while duration.map_or(cases < CASES, |all| begun.elapsed() < all) {
        let made = requests::make(&mut random, &token);
        compare(&made, &short, &long, &mut random).await;
        assert_eq!(mirror.faults(), Vec::<String>::new(), "{}", shown(&made));
        cases += 1;
    }
    eprintln!("{cases} requests, {} at the upstream", mirror.requests());
    for gateway in [&short, &long] {
        assert!(!gateway.log().contains("panicked"), "{}", gateway.log());
    }
}

async fn compare(made: &Made, short: &Gateway, long: &Gateway, random: &mut Random) {
    let cut = 1 + random.below(made.bytes.len() - 1);
    let expected = ask(short, &[&made.bytes], made.is_head).await;
    let (first, rest) = made.bytes.split_at(cut);
    for (way, gateway, pieces) in [
        ("cut in two", short, vec![first, rest]),
        ("Pingora's way", long, vec![&made.bytes[..]]),
        ("Pingora's way, cut in two", long, vec![first, rest]),
    ] {
        let got = ask(gateway, &pieces, made.is_head).await;
        assert_eq!(got, expected, "{way}, cut at {cut}: {}", shown(made));
    }
    if let Some(parts) = &made.parts {
        assert_eq!(by_http2(short, parts).await, expected, "HTTP/2: {}", shown(made));
    }
    let mut connection = Connection::open(short).await;
    for _ in 0..2 {
        assert!(is_good(&connection.ask(&[GOOD], false).await), "a good request is answered");
    }
    let got = connection.ask(&[&made.bytes], made.is_head).await;
    assert_eq!(got, expected, "after a hit: {}", shown(made));
    // The connection may be closed after an answer; what it brings must be the good request's own.
    if let answer @ Outcome::Answer { .. } = connection.ask(&[GOOD], false).await {
        assert!(is_good(&answer), "{answer:?} after {}", shown(made));
    }
}

fn is_good(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Answer { status: 200, body, .. } if body.starts_with("GET /kept/good\n"))
}

async fn ask(gateway: &Gateway, pieces: &[&[u8]], is_head: bool) -> Outcome {
    Connection::open(gateway).await.ask(pieces, is_head).await
}

async fn by_http2(gateway: &Gateway, parts: &Parts) -> Outcome {
    let uri = format!("https://shop.example{}", parts.target);
    let mut request = http::Request::builder().method(parts.method).uri(uri).version(http::Version::HTTP_2);
    for (name, value) in &parts.fields {
        request = request.header(name, value);
    }
    let request = request.body(()).expect("a legal request");
    let http2 = Http2::open(gateway).await;
    // As long as the test runs, which sends few and short ones.
    let body: &'static [u8] = Vec::leak(parts.body.clone());
    let answer = match body.is_empty() {
        true => http2.get(request).await,
        false => http2.send(request, &[body], None).await,
    };
    let answer = answer.expect("an answer");
    let reason = answer.headers().get("portcullis-reason").and_then(|reason| reason.to_str().ok());
    let body = if reason.is_some() { "".into() } else { String::from_utf8_lossy(answer.body()) };
    Outcome::Answer {
        status: answer.status().as_u16(),
        reason: reason.unwrap_or_default().to_owned(),
        body: body.into_owned(),
    }
}

fn shown(made: &Made) -> String {
    format!("{:?}", String::from_utf8_lossy(&made.bytes))
}

struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    async fn open(gateway: &Gateway) -> Self {
        let stream = TcpStream::connect(gateway.address()).await.expect("the gateway listens");
        stream.set_nodelay(true).expect("it is TCP");
        Self { stream, received: Vec::new() }
    }

    async fn ask(&mut self, pieces: &[&[u8]], is_head: bool) -> Outcome {
        for piece in pieces {
            // What comes too late for an early answer isn't taken.
            let _ = self.stream.write_all(piece).await;
            tokio::task::yield_now().await;
        }
        let answer = timeout(PATIENCE, self.answer(is_head)).await.expect("an answer, or the end");
        answer.unwrap_or(Outcome::Closed)
    }

    async fn answer(&mut self, is_head: bool) -> Option<Outcome> {
        let end = loop {
            match self.received.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(at) => break at + 4,
                None => self.more().await?,
            }
        };
        let head = String::from_utf8_lossy(&self.received.drain(..end).collect::<Vec<u8>>()).into_owned();
        let status: u16 = head.split(' ').nth(1)?.parse().ok()?;
        if status < 200 {
            return Box::pin(self.answer(is_head)).await;
        }
        let field = |name: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            lines
                .into_iter()
                .find(|(own, _)| own.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.to_owned())
        };
        let has_body = !is_head && !matches!(status, 204 | 304);
        let length = field("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let length = if has_body { length } else { 0 };
        while self.received.len() < length {
            self.more().await?;
        }
        let body: Vec<u8> = self.received.drain(..length).collect();
        let reason = field("portcullis-reason").unwrap_or_default();
        // Problem documents name their request.
        let body =
            if reason.is_empty() { String::from_utf8_lossy(&body).into_owned() } else { String::new() };
        Some(Outcome::Answer { status, reason, body })
    }

    async fn more(&mut self) -> Option<()> {
        matches!(self.stream.read_buf(&mut self.received).await, Ok(length) if length > 0).then_some(())
    }
}
