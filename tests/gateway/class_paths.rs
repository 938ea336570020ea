//! Request targets that two programs could read differently, and the hosts they are meant for:
//! refused here, unseen by the upstream.

use std::collections::{BTreeMap, BTreeSet};

use crate::harness::{self, Client, Gateway, RawAnswer, Reason, Setup, Upstream, Wiretap};

async fn get(gw: &Gateway, target: &str, client: Option<&Client>) -> Option<RawAnswer> {
    let credentials = client.map(|client| format!("Authorization: Bearer {}\r\n", client.token()));
    let head = format!("GET {target} HTTP/1.1\r\nHost: gateway\r\n{}\r\n", credentials.unwrap_or_default());
    let mut connection = gw.raw_connection().await;
    connection.send(head.as_bytes()).await;
    connection.answer().await
}

/// Every target is refused with one of these statuses, and nothing at all is forwarded.
async fn refused(targets: &[&str], statuses: &[u16]) {
    let gw = harness::gateway("").await;
    let alice = gw.register("alice").await;

    for target in targets {
        for client in [None, Some(&alice)] {
            let answer = get(&gw, target, client).await.unwrap_or_else(|| panic!("{target}: no answer"));
            assert!(statuses.contains(&answer.status), "{target}: {}", answer.head);
        }
    }

    assert_eq!(gw.upstream().all_calls().await, BTreeMap::new());
}

/// Every target is `bad_path`, and nothing at all is forwarded.
async fn ambiguous(targets: &[&str]) {
    let gw = harness::gateway("").await;
    let alice = gw.register("alice").await;

    for target in targets {
        let answer = get(&gw, target, Some(&alice)).await.unwrap_or_else(|| panic!("{target}: no answer"));
        assert_eq!((answer.status, answer.reason()), (400, Some("bad_path")), "{target}");
    }

    assert_eq!(gw.upstream().all_calls().await, BTreeMap::new());
}

#[tokio::test]
async fn a_user_never_reaches_the_admin_page_by_another_spelling() {
    let gw = harness::gateway("").await;
    let alice = gw.register("alice").await;
    let spellings = [
        ("/admin/dashboard", 403),
        ("/public/..%2fadmin/dashboard", 400),
        ("/public/../admin/dashboard", 400),
        ("//admin/dashboard", 400),
        ("/admin%2Fdashboard", 400),
        ("/ADMIN/dashboard", 404),
        ("/Admin/Dashboard", 404),
        ("/public/hello/../../admin/dashboard", 400),
        ("/%61dmin/dashboard", 400),
        ("/public/%2e%2e/admin/dashboard", 400),
        ("/public/..;/admin/dashboard", 400),
        ("/public\\..\\admin\\dashboard", 400),
        ("http://gateway/admin/dashboard", 403),
        ("http://other/admin/dashboard", 400),
        ("/admin/dashboard?/public/hello", 403),
        ("/public/hello#/../admin/dashboard", 400),
    ];

    for (target, status) in spellings {
        let answer = get(&gw, target, Some(&alice)).await.expect("an answer");
        assert_eq!(answer.status, status, "{target}: {}", answer.head);
    }

    assert_eq!(gw.upstream().all_calls().await, BTreeMap::new());
}

#[tokio::test]
async fn class_36_dot_segments() {
    ambiguous(&[
        "/.",
        "/..",
        "/./protected",
        "/public/.",
        "/public/..",
        "/public/./hello",
        "/public/x/../hello",
        "/public/../../etc/passwd",
        "/public/...",
        "/public/.../admin",
    ])
    .await;
}

#[tokio::test]
async fn class_37_encoded_dots_and_letters() {
    ambiguous(&[
        "/public/%2e",
        "/public/%2E%2e/admin/dashboard",
        "/public/.%2e/admin/dashboard",
        "/%70ublic/hello",
        "/public/%68ello",
        "/public/hello%2ejson",
        "/public/%7ehello",
    ])
    .await;
}

#[tokio::test]
async fn class_38_encoded_slashes() {
    ambiguous(&["/public%2fhello", "/public/%2Fadmin", "/public/..%2f..%2fadmin", "/public/hello%2f"]).await;
}

#[tokio::test]
async fn class_39_backslashes() {
    ambiguous(&[
        "/public\\hello",
        "/public/..\\admin",
        "/public/%5c..%5cadmin",
        "/public/..%5Cadmin",
        "\\admin",
    ])
    .await;
}

#[tokio::test]
async fn class_40_repeated_slashes() {
    ambiguous(&["//", "//public/hello", "/public//hello", "/public/hello//", "///admin/dashboard"]).await;
}

#[tokio::test]
async fn class_41_path_parameters() {
    ambiguous(&[
        "/public/hello;x=1",
        "/public;/hello",
        "/public/;/../admin/dashboard",
        "/admin;a=b/dashboard",
        "/public/hello%3bx=1",
    ])
    .await;
}

#[tokio::test]
async fn class_42_double_encoding() {
    ambiguous(&["/public/%252e%252e/admin", "/public/%252fadmin", "/public/%25", "/public/%25%32%65"]).await;
}

#[tokio::test]
async fn class_43_case_is_never_folded() {
    refused(&["/PUBLIC/hello", "/Protected", "/PROTECTED", "/Admin/dashboard", "/aDMIN/dashboard"], &[404])
        .await;
}

#[tokio::test]
async fn class_44_fragments() {
    ambiguous(&["/public/hello#", "/public/hello#a", "/public#/../admin", "/#/admin", "/public/hello?a#b"])
        .await;
    ambiguous(&["/public/%23/hello"]).await;
}

#[tokio::test]
async fn class_45_the_query_has_no_part_in_the_decision() {
    let gw = harness::gateway("").await;
    let alice = gw.register("alice").await;
    let targets = [
        ("/admin/dashboard?path=/public/hello", 403),
        ("/admin/dashboard?/../../public/hello", 403),
        ("/protected?access=public", 200),
        ("/public/hello?next=/admin/../dashboard;x%2f%00", 200),
    ];

    for (target, status) in targets {
        assert_eq!(get(&gw, target, Some(&alice)).await.expect("an answer").status, status, "{target}");
    }

    assert_eq!(gw.upstream_calls("/admin/dashboard").await, 0);
    assert_eq!(gw.upstream_calls("/protected").await, 1);
}

#[tokio::test]
async fn class_46_nul_controls_spaces_and_trailing_dots() {
    ambiguous(&[
        "/public/hello%00",
        "/public/hello%00.json",
        "/public/hello%0a",
        "/public/hello%0d%0aX:%201",
        "/public/hello%09",
        "/public/hello%20",
        "/public/%20/hello",
        "/public/hello%7f",
        "/public/hello.",
        "/public./hello",
        "/admin./dashboard",
        "/public/%c2%85",
    ])
    .await;
}

#[tokio::test]
async fn class_46_raw_spaces_and_controls_in_the_request_line() {
    refused(
        &[
            "/public/hello x",
            "/public/hello  ",
            "/public/\thello",
            "/public/he\u{1}llo",
            "/public/he\0llo",
            "/public/he\u{7f}llo",
        ],
        &[400],
    )
    .await;
}

#[tokio::test]
async fn class_47_overlong_wide_and_odd_escapes() {
    ambiguous(&[
        "/public/%c0%ae%c0%ae/admin",
        "/public/%c0%af",
        "/public/%e0%80%af",
        "/public/%ef%bc%8fadmin",
        "/public/%ef%bc%8e%ef%bc%8e/admin",
        "/public/%ef%bd%81",
        "/public/%u002e",
        "/public/%ff",
        "/public/%",
        "/public/%2",
        "/public/%zz",
        "/public/\u{e9}",
    ])
    .await;
}

#[tokio::test]
async fn class_48_a_prefix_ends_at_a_segment() {
    refused(&["/publicx/hello", "/public", "/public/", "/adminx", "/echo/", "/echox", "/protected/"], &[404])
        .await;
    refused(&["/admin/dashboard/", "/admin/x/y"], &[401, 403]).await;
}

/// There is nothing that rewrites: a route has no prefix to strip, an upstream no path to prepend.
#[tokio::test]
async fn class_50_what_was_decided_on_is_what_the_upstream_gets_byte_for_byte() {
    let backend = Upstream::start().await;
    let tap = Wiretap::before(backend.address()).await;
    let setup = Setup::default().with("upstreams: { example: { servers: [\"${TAP}\"] } }");
    let gw = harness::gateway(setup.env("TAP", tap.address().to_string())).await;
    let targets = [
        "/public/hello",
        "/public/hello?next=/admin/dashboard&x=%2fadmin%2e%2e",
        "/public/hello?",
        "/public/public/hello",
        "/public/admin/dashboard",
        "/public/~a-b_c.d!$&'()*+,=:@",
        "/public/%C3%A4",
    ];
    let renaming = [
        "X-Original-URL: /admin/dashboard",
        "X-Rewrite-URL: /admin/dashboard",
        "X-Forwarded-Prefix: /admin",
        "X-Forwarded-Uri: /admin/dashboard",
        "X-Envoy-Original-Path: /admin/dashboard",
        "X-HTTP-Method-Override: DELETE",
    ];

    for target in targets {
        let head = format!("GET {target} HTTP/1.1\r\nHost: gateway\r\n{}\r\n\r\n", renaming.join("\r\n"));
        let mut connection = gw.raw_connection().await;
        connection.send(head.as_bytes()).await;
        connection.answer().await.unwrap_or_else(|| panic!("{target}: no answer"));
    }

    let heard = tap.heard().concat();
    // On whatever connections.
    let lines: BTreeSet<&str> = heard.lines().filter(|line| line.ends_with(" HTTP/1.1")).collect();
    let sent = targets.map(|target| format!("GET {target} HTTP/1.1"));
    assert_eq!(lines, sent.iter().map(String::as_str).collect());
}

#[tokio::test]
async fn class_49_only_origin_form_is_taken() {
    // And the absolute form of the host that is asked (`plain_targets`).
    let forms = [
        "http://other/public/hello",
        "HTTP://other/admin/dashboard",
        "http:/public/hello",
        "public/hello",
        "?x",
        "*",
        "gateway:80",
        "@gateway/public/hello",
        "..",
    ];
    refused(&forms, &[400]).await;
}

#[tokio::test]
async fn a_target_has_at_most_8_kib() {
    let gw = harness::gateway("").await;
    let long = format!("/public/hello?{}", "a".repeat(8 * 1024));

    let answer = get(&gw, &long, None).await.expect("an answer");

    assert_eq!((answer.status, answer.reason()), (400, Some("bad_path")));
    assert_eq!(get(&gw, &long[..8 * 1024], None).await.expect("an answer").status, 200);
}

#[tokio::test]
async fn class_98_auth_in_any_spelling_never_falls_to_a_wildcard() {
    let routes = r#"
        routes:
          - { path: "/{*rest}", upstream: example, access: public }
    "#;
    let gw = harness::gateway(routes).await;
    let credentials = r#"{"username":"alice","password":"correct horse battery staple"}"#;
    let spellings = [
        "/AUTH/login",
        "/Auth/Login",
        "/auth/LOGIN",
        "/auth//login",
        "//auth/login",
        "/auth%2flogin",
        "/auth/login/",
        "/auth/login;x=1",
        "/auth;x/login",
        "/auth/./login",
        "/x/../auth/login",
        "/%61uth/login",
        "/auth/login%20",
        "/auth/login.",
        "/auth\\login",
        "/auth/login#",
        "/auth",
        "/auth/",
        "/auth/unknown",
        "/AUTH",
        "http://gateway/auth/login",
    ];

    for target in spellings {
        let request = format!(
            "POST {target} HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{credentials}",
            credentials.len()
        );
        let mut connection = gw.raw_connection().await;
        connection.send(request.as_bytes()).await;
        let answer = connection.answer().await.expect("an answer");
        // The absolute form of the login is the login.
        let expected = if target.starts_with("http:") { &[401][..] } else { &[400, 404] };
        assert!(expected.contains(&answer.status), "{target}: {}", answer.head);
    }

    assert_eq!(gw.upstream().all_calls().await, BTreeMap::new());
}
