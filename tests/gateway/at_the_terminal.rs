//! What the command line does on a terminal, and where it looks for things.

use std::io::{Read, Write};
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::harness::{self, Gateway, PASSWORD, Reason};
use crate::servers::ports;

/// A command on a terminal of its own.
struct Terminal {
    script: Child,
    seen: String,
}

impl Terminal {
    fn run(gw: &Gateway, arguments: &str, environment: &[(&str, String)]) -> Self {
        let mut command = gw.command("script");
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        let line = format!("{} {arguments}", env!("CARGO_BIN_EXE_portcullis"));
        command.args(["-qefc", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let script = command.spawn().expect("`script` is part of util-linux");
        Self { script, seen: String::new() }
    }

    /// Reads until these words are there, or the end.
    fn until(&mut self, words: &str) {
        let mut byte = [0];
        let output = self.script.stdout.as_mut().expect("it is piped");
        while !self.seen.contains(words) {
            match output.read(&mut byte) {
                Ok(1) => self.seen.push(char::from(byte[0])),
                _ => panic!("it ended without {words:?}: {}", self.seen),
            }
        }
    }

    fn type_line(&mut self, line: &str) {
        let input = self.script.stdin.as_mut().expect("it is piped");
        writeln!(input, "{line}").expect("the terminal is there");
        input.flush().expect("the same");
    }

    /// All that was shown, and whether it succeeded.
    fn end(mut self) -> (String, bool) {
        let output = self.script.stdout.as_mut().expect("it is piped");
        let mut rest = Vec::new();
        output.read_to_end(&mut rest).expect("it ends");
        let success = self.script.wait().expect("it is our child").success();
        (self.seen + &String::from_utf8_lossy(&rest), success)
    }
}

fn stderr(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_asked_for_twice_and_not_shown() {
    let gw = harness::gateway("").await;

    let mut terminal = Terminal::run(&gw, "user add alice", &[]);
    terminal.until("Password: ");
    terminal.type_line(PASSWORD);
    terminal.until("Again: ");
    terminal.type_line(PASSWORD);
    let (shown, success) = terminal.end();
    assert!(success && !shown.contains(PASSWORD), "{shown}");
    gw.client("alice").login().await;

    let mut terminal = Terminal::run(&gw, "user add bob", &[]);
    terminal.until("Password: ");
    terminal.type_line(PASSWORD);
    terminal.until("Again: ");
    terminal.type_line("another one");
    let (shown, success) = terminal.end();
    assert!(!success && shown.contains("the two passwords differ"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serve_says_where_it_listens_and_what_to_open() {
    let gw = harness::gateway("").await;
    let [proxy, admin] = [(); 2].map(|()| ports::reserve());
    let environment = [("PROXY", proxy.address().to_string()), ("ADMIN", admin.address().to_string())];
    // Another gateway answers at the socket of this one.
    let file = std::fs::read_to_string(gw.home().join("gateway.yaml")).expect("it is there");
    let file = file.replacen("listen:\n", "listen:\n  control: other.sock\n", 1);
    std::fs::write(gw.home().join("second.yaml"), file).expect("the folder is writable");

    let mut terminal = Terminal::run(&gw, "serve second.yaml", &environment);
    terminal.until(&format!("listening on http://{}", proxy.address()));
    terminal.until(&format!("http://{}/console", admin.address()));
    // Ctrl-C.
    terminal.type_line("\u{3}");
    terminal.end();

    // Its own ports are taken.
    let refused = gw.cli(&["serve"]);
    assert!(stderr(&refused).contains("can't listen on 127.0.0.1:"), "{refused:?}");
}

#[tokio::test]
async fn a_file_may_be_named_with_or_without_its_option() {
    let gw = harness::gateway("").await;
    std::fs::rename(gw.home().join("gateway.yaml"), gw.home().join("other.yaml")).expect("it is there");

    for command in ["validate", "migrate", "health"] {
        for arguments in [&[command, "other.yaml"][..], &[command, "--config", "other.yaml"]] {
            let output = gw.cli(arguments);
            assert!(output.status.success(), "{arguments:?}: {output:?}");
        }
    }
    let said = gw.cli(&["validate", "other.yaml"]);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains(" routes, 0 tests hold, 1 warning\n"), "{said}");
}

#[tokio::test]
async fn the_actor_of_a_command_is_not_what_the_environment_says() {
    let gw = harness::gateway("").await;
    let mut command = gw.command(env!("CARGO_BIN_EXE_portcullis"));
    command.env("USER", "mallory").env("LOGNAME", "mallory").env("PORTCULLIS_PASSWORD", PASSWORD);
    let added = command.args(["user", "add", "alice"]).output().expect("it was built with this test");
    assert!(added.status.success(), "{added:?}");

    let audited = gw.cli(&["audit", "list", "--output", "json"]);

    let line = String::from_utf8_lossy(&audited.stdout).lines().next().expect("a record").to_owned();
    let record: Value = serde_json::from_str(&line).expect("JSON");
    let actor = record["actor"].as_str().expect("an actor");
    assert!(actor.starts_with("cli:") && actor != "cli:mallory", "{record}");
}

#[tokio::test]
async fn explain_live_explains_as_the_account_and_without_it_says_that_it_reads_none() {
    let gw = harness::gateway("").await;
    gw.register("alice").await;

    let live = gw.cli(&["explain", "GET", "/protected", "--user", "alice", "--live", "--output", "json"]);
    let said = String::from_utf8_lossy(&live.stdout).into_owned();
    assert!(said.contains("alice") && !said.contains("somebody"), "{said}");

    let offline = gw.cli(&["explain", "GET", "/protected", "--user", "alice"]);
    assert!(stderr(&offline).contains("without --live no account is read"), "{offline:?}");
}

#[tokio::test]
async fn what_a_command_revokes_in_an_embedded_store_counts_at_once() {
    let gw = harness::gateway("").await;
    let alice = gw.register("alice").await;

    for _ in 0..5 {
        alice.login().await;
        assert_eq!(alice.get("/protected").await.status(), 200);
        let revoked = gw.cli(&["session", "revoke", "--user", "alice"]);
        assert!(revoked.status.success(), "{revoked:?}");

        assert_eq!(alice.get("/protected").await.reason(), Some("token_revoked"));
    }
}

#[tokio::test]
async fn explain_says_whose_word_on_the_client_is_not_believed() {
    let gw = harness::gateway("").await;
    let ask = |more: &[&str]| {
        let forwarded = ["explain", "GET", "/public/hello", "-H", "X-Forwarded-For: 203.0.113.7"];
        let output = gw.cli(&[&forwarded[..], more].concat());
        String::from_utf8_lossy(&output.stdout).into_owned()
    };

    assert!(
        ask(&[]).contains("x-forwarded-for isn't believed: 127.0.0.1 isn't in trusted_proxies"),
        "{}",
        ask(&[])
    );
}
