//! A changed gateway.yaml takes effect whole or not at all, and no request notices.

use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, path::Path};

use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{self, Gateway, Reason, Reload, eventually};

const WITHOUT_PROTECTED: &str = "
    routes:
      - { path: \"/public/{*rest}\", upstream: example, access: public }
      - { path: /questions/topics, upstream: example, access: public }
";

/// Requests one after the other until told to stop: how many there were, and what went wrong.
async fn keep_asking(gw: &Gateway, stop: &AtomicBool) -> (usize, Vec<String>) {
    let client = gw.anonymous();
    let (mut count, mut failures) = (0, Vec::new());
    while !stop.load(Ordering::Relaxed) {
        count += 1;
        match client.request(reqwest::Method::GET, "/public/hello").send().await {
            Ok(answer) if answer.status() == 200 => {}
            other => failures.push(format!("{other:?}")),
        }
    }
    (count, failures)
}

async fn reload_metric(gw: &Gateway) -> Option<f64> {
    gw.metrics().await.value("config_last_reload_successful", &[])
}

async fn loaded_at(gw: &Gateway) -> Option<f64> {
    gw.metrics().await.value("config_last_reload_success_timestamp_seconds", &[])
}

async fn until_topics_are_served(gw: &Gateway) {
    let client = gw.anonymous();
    eventually("the new policy", async || {
        (client.get("/questions/topics").await.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_changes_nothing_a_good_one_takes_effect_and_no_request_fails() {
    let gw = harness::gateway("").await;
    let stop = AtomicBool::new(false);
    let load = join_all((0..4).map(|_| keep_asking(&gw, &stop)));
    let operate = async {
        let alice = gw.register("alice").await;
        let broken = "routes: [{ path: /protected, upstream: nowhere, acess: public }]";
        assert_eq!(gw.reload(broken).await, Reload::Refused);
        assert_eq!(reload_metric(&gw).await, Some(0.0));
        assert_eq!(alice.get("/protected").await.status(), 200, "the old policy answers");
        assert_eq!(gw.anonymous().get("/protected").await.reason(), Some("no_credentials"));
        assert_eq!(gw.readiness().await, Some(200));
        for problem in ["nowhere", "acess"] {
            gw.logged(|line| line.to_string().contains(problem)).await;
        }

        assert_eq!(gw.reload(WITHOUT_PROTECTED).await, Reload::InForce);
        assert_eq!(reload_metric(&gw).await, Some(1.0));
        assert_eq!(alice.get("/protected").await.reason(), Some("route_not_found"));
        until_topics_are_served(&gw).await;
        stop.store(true, Ordering::Relaxed);
    };

    let (asked, ()) = tokio::join!(load, operate);

    for (count, failures) in asked {
        assert!(count > 10, "hardly any load: {count} requests");
        assert_eq!(failures, Vec::<String>::new());
    }
}

#[tokio::test]
async fn every_kind_of_broken_file_leaves_the_old_policy_in_force() {
    let gw = harness::gateway("").await;
    for broken in [
        "",
        "\u{0}",
        "routes: [",
        "just text",
        "version: 1\nroutes: []\nroutes: []\n",
        "version: 99\n",
        "a: &a [*a]",
        "upstreams: { example: { servers: [\"${NOT_SET_ANYWHERE}\"] } }\nroutes: []\n",
    ] {
        assert_eq!(gw.reload_file(broken).await, Reload::Refused, "{broken:?}");
        assert_eq!(gw.anonymous().get("/public/hello").await.status(), 200, "{broken:?}");
        assert_eq!(gw.anonymous().get("/protected").await.reason(), Some("no_credentials"), "{broken:?}");
    }
    assert_eq!(gw.reload(WITHOUT_PROTECTED).await, Reload::InForce);
}

#[tokio::test]
async fn a_request_in_flight_keeps_the_policy_it_began_with() {
    let gw = harness::gateway("routes: [{ path: /events, upstream: example, access: public }]").await;
    let mut stream = tokio::net::TcpStream::connect(gw.address()).await.expect("it listens");
    stream.write_all(b"GET /events HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("it reads");
    let mut seen = String::new();
    until_contains(&mut stream, &mut seen, "data: 0").await;

    assert_eq!(gw.reload(WITHOUT_PROTECTED).await, Reload::InForce);

    assert_eq!(gw.anonymous().get("/events").await.reason(), Some("route_not_found"));
    seen.clear();
    until_contains(&mut stream, &mut seen, "event: tick").await;
}

async fn until_contains(stream: &mut tokio::net::TcpStream, seen: &mut String, wanted: &str) {
    let mut buffer = [0; 4096];
    while !seen.contains(wanted) {
        let read = tokio::time::timeout(harness::PATIENCE, stream.read(&mut buffer)).await;
        let length = read.expect("events keep coming").expect("the connection stays");
        assert!(length > 0, "the stream ended after {seen:?}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
}

#[tokio::test]
async fn sighup_takes_up_what_the_file_refers_to() {
    let yaml = "
        tokens:
          issuer: http://localhost:8080
          audience: portcullis
          keys: [{ id: k1, algorithm: HS256, secret: { file: secret } }]
    ";
    let gw = harness::gateway("").await;
    let secret = gw.home().join("secret");
    fs::write(&secret, format!("{}\n", harness::SECRET)).expect("writable");
    assert_eq!(gw.reload(yaml).await, Reload::InForce);
    let alice = gw.register("alice").await;
    assert_eq!(alice.get("/protected").await.status(), 200);

    let before = loaded_at(&gw).await;
    fs::write(&secret, "9Kd0mXw3bQe7yUz5tRa2nLc8vHj4sGf6pOi1-another").expect("writable");
    gw.signal("HUP");
    eventually("the reload", async || (loaded_at(&gw).await != before).then_some(())).await;

    assert_eq!(alice.get("/protected").await.reason(), Some("token_invalid"), "signed with the old secret");
    alice.login().await;
    assert_eq!(alice.get("/protected").await.status(), 200);
}

#[tokio::test]
async fn a_config_map_whose_data_link_is_swapped_is_taken_up() {
    let gw = harness::gateway("").await;
    let home = gw.home();
    let first = fs::read_to_string(home.join("gateway.yaml")).expect("it runs on it");
    mount_config_map(home, "..2026_01", &first);
    replace_by_link(home, "gateway.yaml", "..data/gateway.yaml");

    let next = first.replace(
        "routes:\n",
        "routes:\n  - { path: /questions/topics, upstream: example, access: public }\n",
    );
    mount_config_map(home, "..2026_02", &next);

    until_topics_are_served(&gw).await;
    assert_eq!(reload_metric(&gw).await, Some(1.0));
}

/// As the kubelet does: a folder of its own per version, and `..data` linked to the newest.
fn mount_config_map(home: &Path, version: &str, yaml: &str) {
    fs::create_dir(home.join(version)).expect("writable");
    fs::write(home.join(version).join("gateway.yaml"), yaml).expect("writable");
    replace_by_link(home, "..data", version);
}

fn replace_by_link(home: &Path, name: &str, target: &str) {
    symlink(target, home.join("..data_tmp")).expect("writable");
    fs::rename(home.join("..data_tmp"), home.join(name)).expect("writable");
}

#[tokio::test]
async fn included_files_are_taken_up_together_when_one_changes_comes_or_goes() {
    let gw = harness::gateway("").await;
    let client = gw.anonymous();
    let routes = gw.home().join("routes");
    fs::create_dir(&routes).expect("writable");
    let route = |path: &str, upstream: &str| {
        format!("routes: [{{ path: {path}, upstream: {upstream}, access: public }}]\n")
    };
    fs::write(routes.join("topics.yaml"), route("/questions/topics", "example")).expect("writable");
    let yaml = "include: routes/*.yaml\nroutes: [{ path: /protected, upstream: example }]";
    assert_eq!(gw.reload(yaml).await, Reload::InForce);
    assert_eq!(client.get("/questions/topics").await.status(), 200);
    let first = digest(&gw).await;

    // One more file, of which only the other knows the upstream.
    fs::write(routes.join("echo.yaml"), route("/echo", "late")).expect("writable");
    gw.logged(|line| line.to_string().contains("late")).await;
    assert_eq!(client.get("/questions/topics").await.status(), 200, "the old policy answers");
    assert_eq!(digest(&gw).await, first);
    let output = gw.cli(&["reload"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("routes/echo.yaml:1:35 routes[0].upstream: \"late\" isn't defined"), "{said}");
    let output = gw.cli(&["validate", "gateway.yaml"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("routes/echo.yaml:1:35") && said.contains("upstream: late"), "{said}");

    let upstreams = format!("upstreams: {{ late: {{ servers: [\"{}\"] }} }}", gw.upstream().address());
    fs::write(routes.join("late.yaml"), upstreams).expect("writable");
    eventually("the new route", async || (client.get("/echo").await.status() == 200).then_some(())).await;
    let output = gw.cli(&["explain", "GET", "/echo", "--anonymous"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("late"), "{output:?}");
    assert_ne!(digest(&gw).await, first);

    fs::remove_file(routes.join("topics.yaml")).expect("it is there");
    eventually("the end of the route", async || {
        (client.get("/questions/topics").await.reason() == Some("route_not_found")).then_some(())
    })
    .await;
    assert_eq!(client.get("/echo").await.status(), 200);
}

/// Those that stand in the file as before aren't read again; the command line reads all of it.
#[tokio::test]
async fn of_many_routes_those_that_are_edited_change_and_no_others() {
    let gw = harness::gateway("").await;
    let client = gw.anonymous();
    let route = |number: usize, access: &str| {
        format!("  - {{ path: /many/{number}, upstream: example, access: {access} }}\n")
    };
    let mut routes: Vec<String> = (0..40).map(|number| route(number, "public")).collect();
    for step in 0..4 {
        match step {
            1 => routes[20] = route(20, "authenticated"),
            2 => routes.push(route(40, "authenticated")),
            3 => {
                routes.remove(5);
                routes[20] = route(21, "{ roles: [admin] }");
            }
            _ => {}
        }

        assert_eq!(gw.reload(format!("routes:\n{}", routes.concat()).as_str()).await, Reload::InForce);

        let read_whole = gw.cli(&["diff", "gateway.yaml", "gateway.yaml", "--output", "json"]);
        let read_whole: serde_json::Value = serde_json::from_slice(&read_whole.stdout).expect("JSON");
        assert_eq!(read_whole["new"], digest(&gw).await, "step {step}");
        for number in 0..41 {
            let expected = match (number, step) {
                (5, 3) | (40, 0 | 1) => Some("route_not_found"),
                (20, 1..) | (21, 3) | (40, _) => Some("no_credentials"),
                _ => None,
            };
            let answer = client.get(&format!("/many/{number}")).await;
            assert_eq!(answer.reason(), expected, "step {step}, route {number}");
        }
    }
}

async fn digest(gw: &Gateway) -> String {
    let policy = gw.control(reqwest::Method::GET, "/api/policy").send().await.expect("it answers");
    let policy: serde_json::Value = policy.json().await.expect("JSON");
    policy["digest"].as_str().expect("a hash").to_owned()
}
