//! Who the request is meant for and where it came from: `Host`, and what proxies before us say.

use crate::harness::{self, Echo, Gateway, RawAnswer, Reason};

const ECHO: &str = "
    routes:
      - { path: /echo, upstream: example, access: public }
";

const TRUSTING: &str = "
    trusted_proxies: [127.0.0.0/8, 10.0.0.0/8]
    routes:
      - { path: /echo, upstream: example, access: public }
";

/// `head` is everything but the last empty line.
async fn send(gw: &Gateway, head: &str) -> Option<RawAnswer> {
    let mut connection = gw.raw_connection().await;
    connection.send(format!("{head}\r\n").as_bytes()).await;
    connection.answer().await
}

async fn echo_of(gw: &Gateway, fields: &str) -> Echo {
    let answer = send(gw, &format!("GET /echo HTTP/1.1\r\nHost: gateway\r\n{fields}")).await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.head);
    Echo::read(&answer.body)
}

#[tokio::test]
async fn class_27_addresses_that_a_client_claims_are_replaced() {
    let gw = harness::gateway(ECHO).await;
    let claims = [
        "X-Forwarded-For: 203.0.113.9\r\n",
        "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-For: 10.0.0.1\r\n",
        "x_forwarded_for: 203.0.113.9\r\n",
        "X-Forwarded-For: \" , ;evil\r\n",
        "X-Real-IP: 203.0.113.9\r\nX_Real_IP: 203.0.113.9\r\n",
        "True-Client-IP: 203.0.113.9\r\nCF-Connecting-IP: 203.0.113.9\r\n",
        "X-Client-IP: 203.0.113.9\r\nX-Cluster-Client-IP: 203.0.113.9\r\nClient-IP: 203.0.113.9\r\n",
    ];

    for claim in claims {
        let echo = echo_of(&gw, claim).await;

        assert_eq!(echo.fields("x-forwarded-for"), ["127.0.0.1"], "{claim}");
        let others = echo.headers().into_iter().find(|(_, value)| value.contains("203.0.113.9"));
        assert_eq!(others, None, "{claim}");
    }
}

#[tokio::test]
async fn class_27_only_a_trusted_proxy_is_believed_and_only_as_far_as_the_chain_is_trusted() {
    let gw = harness::gateway(TRUSTING).await;
    let all = |chain: &'static str, address| (chain, address, chain);
    let chains = [
        all("203.0.113.9", "203.0.113.9"),
        all("198.51.100.7, 203.0.113.9", "203.0.113.9"),
        all("203.0.113.9, 10.1.2.3", "203.0.113.9"),
        all("198.51.100.7, 203.0.113.9, 10.1.2.3, 10.1.2.4", "203.0.113.9"),
        ("nonsense", "127.0.0.1", ""),
        ("203.0.113.9, nonsense, 10.1.2.3", "10.1.2.3", "10.1.2.3"),
        all("203.0.113.9:1234", "203.0.113.9"),
        all("2001:db8::7", "2001:db8::7"),
        all("::ffff:203.0.113.9", "203.0.113.9"),
    ];

    for (chain, address, readable) in chains {
        let head = format!("GET /echo HTTP/1.1\r\nHost: gateway\r\nX-Forwarded-For: {chain}\r\n");
        let answer = send(&gw, &head).await.expect("an answer");
        let id = answer.fields("x-request-id").next().expect("every answer has one").to_owned();
        let echo = Echo::read(&answer.body);

        let hops: Vec<&str> = [readable, "127.0.0.1"].into_iter().filter(|hop| !hop.is_empty()).collect();
        assert_eq!(echo.fields("x-forwarded-for"), [hops.join(", ")], "{chain}");
        let line = gw.logged(|line| line["request_id"] == id.as_str()).await;
        assert_eq!(line["address"], address, "{chain}");
    }
}

#[tokio::test]
async fn class_28_path_override_headers_have_no_effect_and_stay_here() {
    let gw = harness::gateway(ECHO).await;
    let names =
        ["X-Original-URL", "X-Rewrite-URL", "X-Original-URI", "X-Envoy-Original-Path", "X_Original_URL"];

    for name in names {
        let echo = echo_of(&gw, &format!("{name}: /admin/dashboard\r\n")).await;

        assert_eq!(echo.0["target"], "/echo", "{name}");
        assert!(echo.headers().iter().all(|(_, value)| *value != "/admin/dashboard"), "{name}");
    }
}

#[tokio::test]
async fn class_29_no_header_and_no_agent_skips_authentication() {
    let gw = harness::gateway("").await;
    let passwords = [
        "X-Middleware-Subrequest: middleware:middleware:middleware\r\n",
        "User-Agent: GoogleHC/1.0\r\n",
        "User-Agent: kube-probe/1.30\r\n",
        "X-Envoy-Internal: true\r\n",
        "X-Forwarded-For: 127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\n",
        "X-Original-URL: /public/hello\r\n",
        "X-HTTP-Method-Override: OPTIONS\r\n",
    ];

    for fields in passwords {
        let answer = send(&gw, &format!("GET /protected HTTP/1.1\r\nHost: gateway\r\n{fields}")).await;
        assert_eq!(answer.expect("an answer").reason(), Some("no_credentials"), "{fields}");
    }

    assert_eq!(gw.upstream_calls("/protected").await, 0);
}

#[tokio::test]
async fn class_30_the_forwarded_host_and_scheme_are_ours_to_say() {
    let gw = harness::gateway(ECHO).await;
    let forged = "X-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: gopher\r\nX-Forwarded-Port: 666\r\n\
                  X-Forwarded-Prefix: /evil\r\nX-Forwarded-Scheme: evil\r\nX-Forwarded-Server: evil\r\n\
                  Forwarded: for=1.2.3.4;host=evil.example\r\n";

    let echo = echo_of(&gw, forged).await;

    assert_eq!(echo.fields("x-forwarded-host"), ["gateway"]);
    assert_eq!(echo.fields("x-forwarded-proto"), ["http"]);
    let origin = ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];
    for (name, value) in echo.headers() {
        assert!(!name.contains("forwarded") || origin.contains(&name), "{name}: {value}");
    }
}

#[tokio::test]
async fn class_30_a_trusted_proxy_may_say_them() {
    let gw = harness::gateway(TRUSTING).await;

    let said = echo_of(&gw, "X-Forwarded-Host: Shop.Example:8443\r\nX-Forwarded-Proto: https\r\n").await;
    let nonsense = [
        "X-Forwarded-Host: a, b\r\nX-Forwarded-Proto: gopher\r\n",
        "X-Forwarded-Host: a\r\nX-Forwarded-Host: b\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Proto: https\r\n",
        "X-Forwarded-Host: evil/path\r\n",
        "X-Forwarded-Host: \r\nX-Forwarded-Proto: \r\n",
    ];

    assert_eq!(said.fields("x-forwarded-host"), ["shop.example:8443"]);
    assert_eq!(said.fields("x-forwarded-proto"), ["https"]);
    for fields in nonsense {
        let echo = echo_of(&gw, fields).await;
        assert_eq!(echo.fields("x-forwarded-host"), ["gateway"], "{fields}");
        assert_eq!(echo.fields("x-forwarded-proto"), ["http"], "{fields}");
    }
}

#[tokio::test]
async fn class_34_method_override_headers_stay_here() {
    let gw = harness::gateway(ECHO).await;

    for name in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "x_http_method_override"] {
        let echo = echo_of(&gw, &format!("{name}: DELETE\r\n")).await;

        assert_eq!(echo.0["method"], "GET");
        assert!(echo.headers().iter().all(|(_, value)| *value != "DELETE"), "{name}");
    }
}

const BY_HOST: &str = r#"
    routes:
      - { path: /echo, upstream: example, access: public }
      - { host: admin.test, path: "/{*rest}", upstream: example, access: { roles: [admin] } }
"#;

#[tokio::test]
async fn class_51_a_malformed_host_is_refused() {
    let gw = harness::gateway(BY_HOST).await;
    let hosts = [
        "Host: \r\n",
        "Host: admin.test..\r\n",
        "Host: admin.test:\r\n",
        "Host: admin.test:99999\r\n",
        "Host: admin.test:80:80\r\n",
        "Host: x@admin.test\r\n",
        "Host: admin.test/\r\n",
        "Host: admin.test x\r\n",
        "Host: admin.test, other\r\n",
        "Host: admin..test\r\n",
        "Host: [::1\r\n",
        "Host: adm\u{131}n.test\r\n",
        "Host: a\r\nHost: admin.test\r\n",
        "",
    ];

    for host in hosts {
        let answer = send(&gw, &format!("GET /echo HTTP/1.1\r\n{host}")).await.expect("an answer");
        assert_eq!(answer.status, 400, "{host}: {}", answer.head);
    }

    assert_eq!(gw.upstream_calls("/echo").await, 0);
}

#[tokio::test]
async fn class_51_one_host_has_one_set_of_rules_however_it_is_written() {
    let gw = harness::gateway(BY_HOST).await;

    for host in
        ["admin.test", "ADMIN.TEST", "Admin.Test:8080", "admin.test:80", "admin.test.", "Admin.Test.:80"]
    {
        let answer = send(&gw, &format!("GET /echo HTTP/1.1\r\nHost: {host}\r\n")).await;
        assert_eq!(answer.expect("an answer").reason(), Some("no_credentials"), "{host}");
    }
    let target = "GET http://other/echo HTTP/1.1\r\nHost: admin.test\r\n";
    assert_eq!(send(&gw, target).await.expect("an answer").status, 400);
    let target = "GET http://admin.test/echo HTTP/1.1\r\nHost: other\r\n";
    assert_eq!(send(&gw, target).await.expect("an answer").status, 400);

    assert_eq!(gw.upstream_calls("/echo").await, 0);
}

/// The upstream goes by `Host`, so the decision must too.
#[tokio::test]
async fn class_51_a_forwarded_host_never_chooses_the_rules() {
    let gw = harness::gateway(harness::Setup::from(BY_HOST).with("trusted_proxies: [127.0.0.0/8]")).await;
    let head = "GET /echo HTTP/1.1\r\nHost: admin.test\r\nX-Forwarded-Host: other.test\r\n";

    let answer = send(&gw, head).await.expect("an answer");

    assert_eq!(answer.reason(), Some("no_credentials"));
    assert_eq!(gw.upstream_calls("/echo").await, 0);
}
