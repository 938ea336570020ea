//! What the access log can't write is counted and told once, and leaves no half line behind.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Metrics, Process, Upstream, client_builder, eventually};
use crate::servers::ports::{self, ReservedPort};

const CONFIG: &str = r#"
listen: { proxy: [{ address: "${PROXY}" }], admin: "${ADMIN}" }
upstreams: { example: { servers: ["${UPSTREAM}"] } }
routes: [{ path: "/public/{*rest}", upstream: example, access: public }]
"#;

/// A gateway whose access log goes elsewhere.
struct Served {
    _process: Process,
    home: TempDir,
    proxy: ReservedPort,
    admin: ReservedPort,
}

impl Served {
    async fn start(upstream: &Upstream, home: TempDir, stdout: &str) -> Self {
        let (proxy, admin) = (ports::reserve(), ports::reserve());
        std::fs::write(home.path().join("gateway.yaml"), CONFIG).expect("the folder is writable");
        let mut shell = Command::new("sh");
        let program = env!("CARGO_BIN_EXE_portcullis");
        shell.args(["-c", &format!("exec {program} serve > {stdout}")]).current_dir(home.path());
        shell.env("TMPDIR", home.path().join("tmp")).env_remove("DATABASE_URL").env_remove("REDIS_URL");
        shell.env("PROXY", proxy.address().to_string()).env("ADMIN", admin.address().to_string());
        shell.env("UPSTREAM", upstream.address().to_string());
        let served = Self { _process: Process::start(&mut shell, home.path()), home, proxy, admin };
        eventually("the gateway", async || served.metrics().await).await;
        eventually("an answer", async || served.try_ask().await.then_some(())).await;
        served
    }

    async fn metrics(&self) -> Option<Metrics> {
        let url = format!("http://{}/metrics", self.admin.address());
        let client = client_builder().build().expect("nothing in it can fail");
        Some(Metrics(client.get(url).send().await.ok()?.text().await.ok()?))
    }

    async fn lost(&self) -> f64 {
        let metrics = self.metrics().await.expect("the admin port answers");
        metrics.value("access_log_dropped_total", &[]).expect("it is there from the start")
    }

    async fn try_ask(&self) -> bool {
        let url = format!("http://{}/public/hello", self.proxy.address());
        let client = client_builder().build().expect("nothing in it can fail");
        client.get(url).send().await.is_ok_and(|answer| answer.status() == 200)
    }

    fn told(&self, words: &str) -> usize {
        let log = std::fs::read_to_string(self.home.path().join("stderr.log")).unwrap_or_default();
        log.matches(words).count()
    }
}

const LOSING: &str = "lines of the access log are being lost";

#[tokio::test]
async fn lines_that_a_full_disk_does_not_take_are_counted_and_told_once() {
    let upstream = Upstream::start().await;
    let served = Served::start(&upstream, tempfile::tempdir().expect("a folder"), "/dev/full").await;
    let before =
        eventually("the first to be lost", async || Some(served.lost().await).filter(|n| *n > 0.0)).await;

    for round in 1..=4 {
        assert!(served.try_ask().await, "requests go on");
        let lost = async || (served.lost().await >= before + f64::from(round)).then_some(());
        eventually("the line to be counted", lost).await;
    }

    assert_eq!(served.told(LOSING), 1);
    assert_eq!(served.told("No space left on device"), 1);
}

#[tokio::test]
async fn a_reader_that_goes_costs_whole_lines_and_the_next_one_reads_whole_lines() {
    let upstream = Upstream::start().await;
    let home = tempfile::tempdir().expect("a folder");
    let pipe = home.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("every Unix has it").success());
    let first = std::thread::spawn({
        let pipe = pipe.clone();
        move || {
            let mut line = String::new();
            BufReader::new(File::open(pipe).expect("it is there")).read_line(&mut line).expect("it is read");
            line
        }
    });
    let served = Served::start(&upstream, home, "pipe").await;
    let line = first.join().expect("no panic");
    assert!(serde_json::from_str::<Value>(&line).is_ok(), "{line:?}");

    eventually("a lost line", async || {
        assert!(served.try_ask().await, "requests go on");
        (served.lost().await > 0.0).then_some(())
    })
    .await;
    eventually("it to be told", async || (served.told(LOSING) == 1).then_some(())).await;

    let (lines, read) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(File::open(pipe).expect("it is there")).lines() {
            if lines.send(line.expect("UTF-8")).is_err() {
                return;
            }
        }
    });
    let mut whole = 0;
    eventually("lines again", async || {
        assert!(served.try_ask().await, "requests go on");
        while let Ok(line) = read.try_recv() {
            assert!(serde_json::from_str::<Value>(&line).is_ok(), "{line:?}");
            whole += 1;
        }
        (whole >= 3).then_some(())
    })
    .await;
    eventually("the end of it to be told", async || {
        (served.told("the access log is written again") == 1).then_some(())
    })
    .await;
}

/// Prometheus' `increase()` misses the event with which a series begins.
#[tokio::test]
async fn counters_that_alerts_look_at_are_there_before_the_first_event() {
    let gw = crate::harness::gateway(
        "
        upstreams: { example: { servers: [\"${UPSTREAM}\"] } }
        routes:
          - { path: /protected, upstream: example }
          - { path: /expensive, upstream: example, access: public, cache: { ttl: 1h, vary_by: shared } }
        ",
    )
    .await;

    let metrics = gw.metrics().await;

    for (name, labels) in [
        ("refresh_total", &["outcome=\"refresh_reused\""][..]),
        ("login_attempts_total", &["outcome=\"overloaded\""]),
        ("login_attempts_total", &["outcome=\"bad_credentials\""]),
        ("mails_total", &["outcome=\"failed\""]),
        ("revocations_total", &["scope=\"session\""]),
        ("store_errors_total", &[]),
        ("upstream_failures_total", &["upstream=\"example\"", "cause=\"refused\""]),
        ("cache_requests_total", &["route=\"/expensive\"", "outcome=\"hit\""]),
        ("auth_decisions_total", &["decision=\"deny\"", "reason=\"refresh_reused\""]),
        ("access_log_dropped_total", &[]),
    ] {
        assert_eq!(metrics.value(name, labels), Some(0.0), "{name} {labels:?}");
    }
}
