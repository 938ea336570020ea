//! Where gateway.yaml comes from: what can't be read, or not again, is refused and not taken for what was there before.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::process::Command;

use crate::harness::{self, Process, Reason, Upstream, client_builder, eventually};
use crate::servers::ports;

#[tokio::test]
async fn a_broken_link_behind_include_is_refused_and_its_routes_stay() {
    let gw = harness::gateway("include: \"*.routes.yaml\"\nroutes: []").await;
    let (file, link) = (gw.home().join("hello.yaml"), gw.home().join("a.routes.yaml"));
    fs::write(&file, "routes: [{ path: \"/public/{*rest}\", upstream: example, access: public }]")
        .expect("writable");
    symlink("hello.yaml", &link).expect("writable");
    assert!(gw.cli(&["reload"]).status.success());
    assert_eq!(gw.anonymous().get("/public/hello").await.status(), 200);

    fs::remove_file(&file).expect("it is there");
    let reload = gw.cli(&["reload"]);

    let said = String::from_utf8_lossy(&reload.stderr);
    assert!(!reload.status.success() && said.contains("hello.yaml, which isn't there"), "{said}");
    assert!(!gw.cli(&["validate"]).status.success());
    assert_eq!(gw.anonymous().get("/public/hello").await.status(), 200, "the running policy stays");
    fs::remove_file(&link).expect("it is there");
    assert!(gw.cli(&["reload"]).status.success());
    assert_eq!(gw.anonymous().get("/public/hello").await.reason(), Some("route_not_found"));
}

/// As in a container that a single file is mounted into, once `sed -i` outside has put another file in its place. A
/// descriptor keeps to its file in the same way.
#[tokio::test]
async fn a_file_that_was_replaced_outside_of_its_mount_is_not_taken_for_the_new_one() {
    let gw = harness::gateway("").await;
    let (outside, inside) = (gw.home().join("outside.yaml"), gw.home().join("gateway.yaml"));
    fs::rename(&inside, &outside).expect("both lie in one folder");
    let mounted = File::open(&outside).expect("it is there");
    let path = format!("/proc/{}/fd/{}", std::process::id(), mounted.as_raw_fd());
    symlink(path, &inside).expect("writable");
    assert!(gw.cli(&["reload"]).status.success(), "it is the same file so far");

    let text = fs::read_to_string(&outside).expect("it is there");
    fs::write(gw.home().join("new.yaml"), text + "limits: { unused: { rate: 1/s, by: user } }\n")
        .expect("writable");
    fs::rename(gw.home().join("new.yaml"), &outside).expect("both lie in one folder");
    let reload = gw.cli(&["reload"]);

    let said = String::from_utf8_lossy(&reload.stderr);
    assert!(!reload.status.success() && said.contains("mount the folder"), "{said}");
    assert_eq!(gw.anonymous().get("/public/hello").await.status(), 200);
}

/// Secrets are mounted one by one as often.
#[tokio::test]
async fn a_secret_that_was_replaced_outside_of_its_mount_is_not_taken_for_the_new_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let outside = folder.path().join("rate");
    fs::write(&outside, "100/s").expect("writable");
    let mounted = File::open(&outside).expect("it is there");
    let path = format!("/proc/{}/fd/{}", std::process::id(), mounted.as_raw_fd());
    let limits = format!("limits: {{ unused: {{ rate: {{ file: {path} }}, by: user }} }}");
    let gw = harness::gateway(&*limits).await;
    assert!(gw.cli(&["reload"]).status.success(), "it is the same file so far");

    fs::write(folder.path().join("new"), "200/s").expect("writable");
    fs::rename(folder.path().join("new"), &outside).expect("both lie in one folder");
    let reload = gw.cli(&["reload"]);

    let said = String::from_utf8_lossy(&reload.stderr);
    assert!(!reload.status.success() && said.contains("mount the folder"), "{said}");
    assert!(said.contains("limits.unused.rate"), "{said}");
}

#[tokio::test]
async fn a_configuration_may_come_through_a_pipe() {
    let upstream = Upstream::start().await;
    let home = tempfile::tempdir().expect("a folder");
    let (proxy, admin) = (ports::reserve(), ports::reserve());
    let text = format!(
        "listen: {{ proxy: [{{ address: {} }}], admin: {} }}
upstreams: {{ example: {{ servers: [{}] }} }}
routes: [{{ path: \"/public/{{*rest}}\", upstream: example, access: public, limits: [small] }}]
limits: {{ small: {{ rate: {{ file: rate }}, by: address }} }}\n",
        proxy.address(),
        admin.address(),
        upstream.address()
    );
    fs::write(home.path().join("text"), text).expect("writable");
    fs::write(home.path().join("rate"), "100/s\n").expect("writable");
    let mut shell = Command::new("bash");
    let program = env!("CARGO_BIN_EXE_portcullis");
    shell.args(["-c", &format!("exec {program} serve --config <(cat text)")]).current_dir(home.path());
    shell.env("TMPDIR", home.path().join("tmp")).env_remove("DATABASE_URL").env_remove("REDIS_URL");
    let process = Process::start(&mut shell, home.path());
    let client = client_builder().build().expect("nothing in it can fail");
    let url = format!("http://{}/public/hello", proxy.address());
    let ask = async || client.get(&url).send().await.ok().filter(|answer| answer.status() == 200).map(drop);

    eventually("an answer", async || {
        assert!(
            process.ended().is_none(),
            "it ended: {:?}",
            fs::read_to_string(home.path().join("stderr.log"))
        );
        ask().await
    })
    .await;
    process.signal("HUP");
    let told = async || {
        let log = fs::read_to_string(home.path().join("stderr.log")).unwrap_or_default();
        log.contains("read from a pipe, which gives its content once").then_some(())
    };
    eventually("it to be told", told).await;
    assert_eq!(ask().await, Some(()), "and the running policy stays");
}
