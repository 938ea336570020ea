//! Kept answers: what a hit gives is what the upstream gave, by the short way and by Pingora's.

use super::answers::{self, Answer};
use super::backend::Backend;
use super::ways;
use crate::harness::{self, Gateway, Setup};
use crate::random::{self, Random, number};

/// Requests of a run.
const REQUESTS: u64 = 60;

const FILE: &str = r#"
    upstreams: { example: { servers: ["${BACKEND}"] } }
    routes:
      - { path: "/echo/{*rest}", upstream: example, access: public }
      - { path: "/echo/{*rest}", host: kept.example, upstream: example, access: public, cache: { ttl: 1h, vary_by: shared } }
"#;

/// Fields that change no answer of the backend.
const FIELDS: [&str; 7] = [
    "Accept: text/html\r\n",
    "Accept-Encoding: gzip\r\n",
    "Referer: http://gateway/\r\n",
    "User-Agent: a\r\n",
    "X-Forwarded-User: root\r\n",
    "X-Request-Id: mine\r\n",
    "Connection: keep-alive\r\n",
];

/// Forms of the backend's answers that are kept.
const FORMS: [u32; 3] = [1, 3, 8];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hit_is_the_answer_that_the_upstream_gave() {
    let seed = number("FUZZ_SEED").unwrap_or_else(random::fresh_seed);
    eprintln!("FUZZ_SEED={seed}");
    for fast_lane in [true, false] {
        let backend = Backend::start().await;
        let setup = Setup::from(FILE).with(&format!("forwarding: {{ fast_lane: {fast_lane} }}"));
        let gateway = harness::gateway(setup.env("BACKEND", backend.address.to_string())).await;
        for number in 0..REQUESTS {
            let mut random = Random::new(seed, number);
            let rest = request(&mut random, number);
            let plain = ask(&gateway, "plain.example", &rest).await;
            let heard = backend.take();
            let missed = ask(&gateway, "kept.example", &rest).await;
            assert_eq!(backend.take().len(), 1, "the first goes to the upstream: {rest:?}");
            let hit = ask(&gateway, "kept.example", &rest).await;
            assert_eq!(heard.len(), 1, "one without a cache goes to the upstream: {rest:?}");
            assert_eq!(backend.take(), [], "the second goes nowhere: {rest:?}");
            assert_eq!(plain, missed, "without a cache, and the first: {rest:?}");
            assert_eq!(missed, hit, "the first, and the second: {rest:?}");
        }
    }
}

fn request(random: &mut Random, number: u64) -> (String, String) {
    let form = FORMS[random.below(FORMS.len())];
    let query = ["", "&b=%C3%A4", "&b=a+b", "&b=%2B"][random.below(4)];
    let fields: String = (0..random.below(4)).map(|_| FIELDS[random.below(FIELDS.len())]).collect();
    (format!("/echo/c{number}c/kept?answer={form}{query}"), fields)
}

async fn ask(gateway: &Gateway, host: &str, (target, fields): &(String, String)) -> Vec<Answer> {
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n");
    let last = "GET /none HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n";
    let received = ways::exchange(gateway, &[format!("{request}{last}").into_bytes()]).await;
    let mut answers = answers::parse(&received, false);
    for answer in &mut answers {
        answer.forget(&[
            "accept-ranges",
            "age",
            "cache-status",
            "content-length",
            "transfer-encoding",
            "connection",
        ]);
    }
    answers
}
