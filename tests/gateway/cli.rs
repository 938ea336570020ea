//! The command line: every command, what it prints and how it exits.

use std::fs;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::harness::{self, Process, Reason, Stores};
use crate::servers::ports;

const PORTCULLIS: &str = env!("CARGO_BIN_EXE_portcullis");

/// A file that starts, with ports of its own to be filled in.
const GOOD: &str = "
listen: { proxy: [{ address: \"127.0.0.1:PROXY\" }], admin: \"127.0.0.1:ADMIN\" }
storage: { users: \"sqlite://data/portcullis.db\", state: embedded }
upstreams: { example: { servers: [\"127.0.0.1:9\"] } }
routes: [{ path: /protected, upstream: example }]
";

fn folder_with(yaml: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    fs::write(folder.path().join("gateway.yaml"), yaml).expect("the same");
    folder
}

fn run_in(folder: &TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(PORTCULLIS);
    command.args(arguments).current_dir(folder.path()).stdin(Stdio::null());
    command.env_remove("DATABASE_URL").env_remove("REDIS_URL").env_remove("PORTCULLIS_PASSWORD");
    command.output().expect("it was built with this test")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it exits, no signal ends it")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

#[test]
fn version_and_help_are_printed_and_wrong_usage_exits_with_2() {
    let folder = folder_with(GOOD);
    let version = run_in(&folder, &["version"]);
    assert_eq!(
        (code(&version), stdout(&version)),
        (0, format!("portcullis {}\n", env!("CARGO_PKG_VERSION")))
    );
    assert_eq!(stdout(&run_in(&folder, &["--version"])), stdout(&version));

    let help = run_in(&folder, &["--help"]);
    assert_eq!(code(&help), 0);
    for command in ["serve", "validate", "explain", "diff", "reload", "migrate", "user", "health", "version"]
    {
        assert!(stdout(&help).contains(&format!("  {command} ")), "{command}");
    }
    for wrong in [
        &[][..],
        &["sreve"],
        &["serve", "--prot", "1"],
        &["user"],
        &["user", "add"],
        &["user", "set-role", "alice"],
        &["validate", "a", "b"],
    ] {
        let output = run_in(&folder, wrong);
        assert_eq!((code(&output), stdout(&output)), (2, String::new()), "{wrong:?}");
        assert!(stderr(&output).contains("Usage: portcullis"), "{wrong:?}");
    }
}

#[test]
fn validate_names_every_problem_at_its_line_or_says_that_all_is_good() {
    let good = folder_with(&GOOD.replace("PROXY", "8080").replace("ADMIN", "9090"));
    let output = run_in(&good, &["validate"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).starts_with("gateway.yaml: good; "), "{}", stdout(&output));

    let bad = folder_with(
        "upstreams: { billing: { servers: [\"127.0.0.1:9\"] } }
routes:
  - { path: /a, upstream: bilng }
  - { path: /b, upstream: billing, acess: public }
  - { path: /c, upstream: billing, cache: { ttl: 1m } }
  - { path: /c, upstream: billing }
  - { path: \"/d/${NOT_SET_ANYWHERE}\", upstream: billing }
",
    );
    let output = run_in(&bad, &["validate", "gateway.yaml"]);
    assert_eq!((code(&output), stdout(&output)), (1, String::new()));
    let problems = stderr(&output);
    for (line, words) in [
        (3, "did you mean \"billing\"?"),
        (4, "acess"),
        (5, "vary_by"),
        (6, "routes[3]"),
        (7, "NOT_SET_ANYWHERE"),
    ] {
        let place = format!("┌─ gateway.yaml:{line}:");
        let named = problems
            .split("\n\n")
            .any(|problem| problem.contains(&place) && problem.contains(words) && problem.contains('^'));
        assert!(named, "line {line}, {words}:\n{problems}");
    }

    let missing = run_in(&good, &["validate", "elsewhere.yaml"]);
    assert_eq!(code(&missing), 1);
    assert!(stderr(&missing).contains("elsewhere.yaml"), "{}", stderr(&missing));
}

#[tokio::test]
async fn accounts_are_managed_on_either_store_while_the_gateway_runs() {
    for stores in [Stores::Embedded, Stores::servers().await] {
        let gw = harness::gateway(harness::Setup::default().stores(&stores)).await;
        let run = |arguments: &[&str]| {
            let output = gw.cli(&[&["user"], arguments].concat());
            (code(&output), stdout(&output), stderr(&output))
        };

        let (status, added, _) =
            run(&["add", "Root", "--role", "admin", "--role", "ops", "--email", "r@example.org"]);
        assert_eq!(status, 0);
        let fields: Vec<&str> = added.trim_end().split("  ").collect();
        assert_eq!(fields[1..], ["Root", "admin,ops", "enabled"]);
        assert_eq!(run(&["add", "alice"]).0, 0);
        let (_, listed, _) = run(&["list"]);
        let names: Vec<_> = listed.lines().filter_map(|line| line.split("  ").nth(1)).collect();
        assert_eq!(names, ["alice", "Root"]);
        assert!(run(&["set-role", "alice", "user", "editor"]).1.contains("  alice  user,editor  enabled"));
        assert!(run(&["disable", "alice"]).1.contains("  disabled"));
        let refused = gw.client("alice").post("/auth/login", &credentials("alice")).await;
        assert_eq!(refused.reason(), Some("account_disabled"));
        assert!(run(&["disable", "alice", "--undo"]).1.contains("  enabled"));
        gw.client("alice").login().await;
        assert_eq!(run(&["unlock", "alice"]).1, "was not locked\n");
        assert_eq!(run(&["delete", "alice"]).1, "deleted\n");
        let gone = gw.client("alice").post("/auth/login", &credentials("alice")).await;
        assert_eq!(gone.reason(), Some("bad_credentials"));

        for (wrong, named) in [
            (&["add", "root"][..], "root"),
            (&["add", "bob", "--role", "Admin,ops"], "Admin,ops"),
            (&["add", "two words"], "username"),
            (&["set-role", "nobody", "user"], "nobody"),
            (&["disable", "nobody"], "nobody"),
            (&["unlock", "nobody"], "nobody"),
            (&["delete", "nobody"], "nobody"),
        ] {
            let (status, printed, problem) = run(wrong);
            assert_eq!((status, printed.as_str()), (1, ""), "{wrong:?}");
            assert!(problem.to_lowercase().contains(&named.to_lowercase()), "{wrong:?}: {problem}");
        }
    }
}

fn credentials(username: &str) -> serde_json::Value {
    serde_json::json!({ "username": username, "password": harness::PASSWORD })
}

#[tokio::test]
async fn a_password_comes_from_standard_input_and_is_asked_to_be_good() {
    let gw = harness::gateway("").await;
    let add = |name: &str, input: &str| {
        let mut command = gw.command(PORTCULLIS);
        command.args(["user", "add", name]).env_remove("PORTCULLIS_PASSWORD");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it was built with this test");
        let mut stdin = child.stdin.take().expect("piped");
        std::io::Write::write_all(&mut stdin, input.as_bytes()).expect("it reads");
        drop(stdin);
        child.wait_with_output().expect("it ends")
    };

    assert_eq!(code(&add("alice", &format!("{}\n", harness::PASSWORD))), 0);
    gw.client("alice").login().await;

    for (input, told) in [("", "standard input"), ("short\n", "8 characters"), ("password\n", "common")] {
        let refused = add("bob", input);
        assert_eq!(code(&refused), 1, "{input:?}");
        assert!(stderr(&refused).contains(told), "{input:?}: {}", stderr(&refused));
    }
}

#[tokio::test]
async fn health_exits_with_0_only_while_the_gateway_is_ready() {
    let gw = harness::gateway("").await;
    let healthy = gw.cli(&["health"]);
    assert_eq!(code(&healthy), 0, "{healthy:?}");
    assert!(stdout(&healthy).contains("\"status\":\"ready\""), "{}", stdout(&healthy));

    gw.signal("TERM");
    gw.end().await;

    let away = gw.cli(&["health"]);
    assert_eq!((code(&away), stdout(&away)), (1, String::new()));
    assert!(stderr(&away).contains("no gateway was reached. "), "{}", stderr(&away));
}

/// What `serve` says on standard error before it gives up with exit status 1.
async fn failed_start(yaml: &str) -> String {
    let [proxy, admin] = [ports::reserve(), ports::reserve()];
    let yaml =
        yaml.replace("PROXY", &proxy.number().to_string()).replace("ADMIN", &admin.number().to_string());
    let folder = folder_with(&yaml);
    let mut command = Command::new(PORTCULLIS);
    command.arg("serve").current_dir(folder.path()).env_remove("DATABASE_URL").env_remove("REDIS_URL");
    let process = Process::start(&mut command, folder.path());
    let status = process.end().await;
    let said = fs::read_to_string(folder.path().join("stderr.log")).expect("it was started");
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(!said.contains("panicked") && !said.contains("RUST_BACKTRACE"), "{said}");
    // What is logged on the way is JSON; what ends it is plain.
    said.lines().filter(|line| !line.starts_with('{')).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_start_that_fails_says_why_in_one_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let cases = [
        (GOOD.replace("127.0.0.1:9\"", "${NOT_SET_ANYWHERE}\""), "NOT_SET_ANYWHERE"),
        (GOOD.replace("PROXY", &port), "in use"),
        (GOOD.replace("ADMIN", &port), "in use"),
        (GOOD.replace("PROXY\"", "PROXY\", tls: { cert: cert.pem, key: key.pem }"), "cert.pem"),
        (GOOD.replace("routes", "rotues"), "rotues"),
        (GOOD.replace("sqlite://data/portcullis.db", "sqlite:///proc/nothing/portcullis.db"), "sqlite"),
    ];
    for (yaml, named) in cases {
        let said = failed_start(&yaml).await;
        assert!(said.contains(named), "{named}: {said}");
        assert!(said.lines().count() <= 3, "{named}: {said}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let folder = folder_with(GOOD);
    for command in ["serve", "migrate"] {
        let output = run_in(&folder, &[command, "--config", "elsewhere.yaml"]);
        assert_eq!(code(&output), 1, "{command}");
        assert!(stderr(&output).contains("elsewhere.yaml: there is no such file"), "{}", stderr(&output));
    }
}
