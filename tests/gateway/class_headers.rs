//! Forged, doubled, nominated and illegal header fields: what the upstream sees is our word.

use reqwest::{Method, header};

use crate::harness::{self, Client, Echo, Gateway, RawAnswer};

/// GET is public, POST needs a token; both say what arrived.
const ECHO: &str = "
    routes:
      - { path: /echo, methods: [GET], upstream: example, access: public }
      - { path: /echo, methods: [POST], upstream: example }
";

/// Identity and origin as some proxy or framework words them.
const FORGED: [&str; 28] = [
    "X-Forwarded-User",
    "X-Forwarded-Preferred-Username",
    "X-Forwarded-Email",
    "X-Forwarded-Groups",
    "X-Forwarded-Access-Token",
    "Remote-User",
    "Remote-Name",
    "Remote-Email",
    "Remote-Groups",
    "X-Remote-User",
    "X-WEBAUTH-USER",
    "X-WEBAUTH-NAME",
    "X-WEBAUTH-EMAIL",
    "X-WEBAUTH-ROLE",
    "X-Consumer-ID",
    "X-Consumer-Username",
    "X-Consumer-Groups",
    "X-Consumer-Custom-ID",
    "X-Credential-Identifier",
    "X-Anonymous-Consumer",
    "X-Auth-Request-User",
    "X-Auth-Request-Groups",
    "X-Authenticated-Userid",
    "X-User-Id",
    "X-User",
    "X-Roles",
    "X-Request-Id",
    "Portcullis-Reason",
];

/// One request by hand; `fields` are whole lines.
async fn send(gw: &Gateway, request_line: &str, fields: &str) -> Option<RawAnswer> {
    let head = format!("{request_line} HTTP/1.1\r\nHost: gateway\r\n{fields}\r\n");
    let mut connection = gw.raw_connection().await;
    connection.send(head.as_bytes()).await;
    connection.answer().await
}

async fn echo_of(gw: &Gateway, request_line: &str, fields: &str) -> Echo {
    let answer = send(gw, request_line, fields).await.expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.head);
    Echo::read(&answer.body)
}

fn bearer(client: &Client) -> String {
    format!("Authorization: Bearer {}\r\n", client.token())
}

/// Other names that some server folds into this one.
fn spellings(name: &str) -> [String; 5] {
    [
        name.to_owned(),
        name.to_ascii_lowercase(),
        name.to_ascii_uppercase().replace('-', "_"),
        name.replacen('-', "_", 1),
        name.replace('-', "."),
    ]
}

#[tokio::test]
async fn class_22_client_supplied_identity_headers_never_arrive_on_a_public_route() {
    let gw = harness::gateway(ECHO).await;

    for name in FORGED {
        let echo = echo_of(&gw, "GET /echo", &format!("{name}: forged\r\n{name}: forged too\r\n")).await;

        let arrived = echo.headers().into_iter().find(|(_, value)| value.contains("forged"));
        assert_eq!(arrived, None, "{name}");
        assert!(echo.fields("x-forwarded-user").is_empty());
    }
}

#[tokio::test]
async fn class_22_client_supplied_identity_headers_are_replaced_by_ours() {
    let gw = harness::gateway(ECHO).await;
    let alice = gw.register("alice").await;
    let id = alice.id().await;
    let forged: String = FORGED.iter().map(|name| format!("{name}: forged\r\n")).collect();

    let echo = echo_of(&gw, "POST /echo", &(forged + &bearer(&alice))).await;

    assert_eq!(echo.fields("x-forwarded-user"), [id.as_str()]);
    assert_eq!(echo.fields("x-forwarded-preferred-username"), ["alice"]);
    assert_eq!(echo.fields("x-forwarded-groups"), ["user"]);
    assert_eq!(echo.fields("x-forwarded-email"), Vec::<&str>::new());
    assert!(echo.headers().iter().all(|(_, value)| !value.contains("forged")), "{:?}", echo.headers());
}

#[tokio::test]
async fn class_23_no_other_spelling_of_an_identity_header_arrives() {
    let gw = harness::gateway(ECHO).await;
    let alice = gw.register("alice").await;

    for name in FORGED.iter().flat_map(|name| spellings(name)) {
        let fields = format!("{name}: forged\r\n{}", bearer(&alice));

        for request_line in ["GET /echo", "POST /echo"] {
            let echo = echo_of(&gw, request_line, &fields).await;
            let arrived = echo.headers().into_iter().find(|(_, value)| value.contains("forged"));
            assert_eq!(arrived, None, "{name} with {request_line}");
        }
    }
}

#[tokio::test]
async fn class_24_connection_never_unsets_our_headers() {
    let gw = harness::gateway(ECHO).await;
    let alice = gw.register("alice").await;
    let id = alice.id().await;
    let nominations = [
        "Connection: X-Forwarded-User\r\n",
        "Connection: x-forwarded-user, X-Forwarded-Groups, close\r\n",
        "Connection: keep-alive, x-forwarded-preferred-username\r\nConnection: X-Forwarded-User\r\n",
        "Connection: X-Request-Id, traceparent, Authorization\r\nX-Forwarded-User: forged\r\n",
        "Proxy-Connection: X-Forwarded-User\r\n",
    ];

    for nomination in nominations {
        let echo = echo_of(&gw, "POST /echo", &(bearer(&alice) + nomination)).await;

        assert_eq!(echo.fields("x-forwarded-user"), [id.as_str()], "{nomination}");
        assert_eq!(echo.fields("x-forwarded-preferred-username"), ["alice"], "{nomination}");
        assert_eq!(echo.fields("x-forwarded-groups"), ["user"], "{nomination}");
        assert_eq!(echo.fields("x-request-id").len(), 1, "{nomination}");
        assert_eq!(echo.fields("traceparent").len(), 1, "{nomination}");
    }
}

#[tokio::test]
async fn class_24_nominating_the_origin_or_very_many_fields_is_refused() {
    let gw = harness::gateway(ECHO).await;
    let many: Vec<String> = (0..10).map(|n| format!("x-{n}")).collect();
    let nominations = [
        "Connection: X-Forwarded-For\r\n".to_owned(),
        "Connection: X-Forwarded-Host\r\n".to_owned(),
        "Connection: host\r\n".to_owned(),
        format!("Connection: {}\r\n", many.join(", ")),
        many.iter().map(|name| format!("Connection: {name}\r\n")).collect(),
    ];

    for nomination in nominations {
        let answer = send(&gw, "GET /echo", &nomination).await.expect("an answer");
        assert_eq!(answer.status, 400, "{nomination}: {}", answer.head);
    }
    assert_eq!(gw.upstream_calls("/echo").await, 0);
}

#[tokio::test]
async fn class_25_trailers_never_become_headers() {
    let gw = harness::gateway(ECHO).await;
    let alice = gw.register("alice").await;
    let id = alice.id().await;
    let chunked = "Transfer-Encoding: chunked\r\nTrailer: X-Forwarded-User, X-Extra\r\n";
    let body = "3\r\nabc\r\n0\r\nX-Forwarded-User: forged\r\nX-Extra: forged\r\n\r\n";
    let request = format!("POST /echo HTTP/1.1\r\nHost: gateway\r\n{}{chunked}\r\n{body}", bearer(&alice));

    let (answer, rest) = gw.raw(request.as_bytes()).await;

    let echo = Echo::read(&answer.expect("an answer").body);
    assert_eq!(echo.0["body"], "abc");
    assert_eq!(echo.0["trailers"], serde_json::json!([]));
    assert_eq!(echo.fields("x-forwarded-user"), [id.as_str()]);
    assert_eq!(echo.fields("trailer"), Vec::<&str>::new());
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
}

#[tokio::test]
async fn class_26_a_doubled_host_length_or_credential_is_refused() {
    let gw = harness::gateway(ECHO).await;
    let alice = gw.register("alice").await;
    let token = bearer(&alice);
    let doubled = [
        ("GET /echo", "Host: other\r\n".to_owned(), 400),
        ("GET /echo", "Host: gateway\r\n".to_owned(), 400),
        ("POST /echo", format!("{token}Content-Length: 1\r\nContent-Length: 2\r\n"), 400),
        ("POST /echo", format!("{token}{token}"), 401),
        ("POST /echo", format!("{token}Authorization: Basic YTpi\r\n"), 401),
        ("POST /echo", format!("Authorization: Basic YTpi\r\n{token}"), 401),
    ];

    for (request_line, fields, status) in doubled {
        let answer = send(&gw, request_line, &fields).await.expect("an answer");
        assert_eq!(answer.status, status, "{request_line} {fields}: {}", answer.head);
    }
    assert_eq!(gw.upstream_calls("/echo").await, 0);
}

#[tokio::test]
async fn class_31_hop_by_hop_fields_of_a_request_stay_here() {
    let gw = harness::gateway(ECHO).await;
    let fields = "Connection: keep-alive, X-Private\r\nX-Private: 1\r\nKeep-Alive: timeout=9\r\n\
                  Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic YTpi\r\nTE: trailers\r\n\
                  Upgrade: foo\r\nX-Public: 1\r\n";

    let echo = echo_of(&gw, "GET /echo", fields).await;

    let hop_by_hop = ["x-private", "keep-alive", "proxy-connection", "proxy-authorization", "te", "upgrade"];
    for name in hop_by_hop {
        assert_eq!(echo.fields(name), Vec::<&str>::new(), "{name}");
    }
    assert_eq!(echo.fields("x-public"), ["1"]);
}

#[tokio::test]
async fn class_31_hop_by_hop_fields_of_an_answer_stay_there() {
    let routes = "
        routes:
          - { path: /headers, upstream: example, access: public }
    ";
    let gw = harness::gateway(routes).await;
    let said = "/headers?connection=x-private&x-private=1&keep-alive=timeout%3D9&upgrade=h2c&te=trailers\
                &proxy-connection=close&proxy-authenticate=Basic&portcullis-reason=forged&x-public=1";

    let response = gw.anonymous().get(said).await;

    assert_eq!(response.status(), 200);
    let hop_by_hop = [
        "x-private",
        "keep-alive",
        "upgrade",
        "te",
        "proxy-connection",
        "proxy-authenticate",
        "portcullis-reason",
    ];
    for name in hop_by_hop {
        assert_eq!(response.headers().get(name), None, "{name}");
    }
    assert_eq!(response.headers()["x-public"], "1");
}

#[tokio::test]
async fn class_35_credentials_and_our_cookies_never_reach_the_upstream() {
    let gw = harness::gateway(ECHO).await;
    let alice = gw.register("alice").await;
    let cookies = "theme=dark; portcullis_refresh=secret-1; __Secure-portcullis_refresh=secret-2; \
                   PORTCULLIS_refresh=secret-3; lang=en";

    for method in [Method::GET, Method::POST] {
        let request = alice.request(method.clone(), "/echo").header(header::COOKIE, cookies);
        let echo = Echo::of(alice.send(request).await).await;

        assert_eq!(echo.fields("authorization"), Vec::<&str>::new(), "{method}");
        assert_eq!(echo.fields("cookie"), ["theme=dark; lang=en"], "{method}");
    }
}

#[tokio::test]
async fn class_35_credentials_are_neither_in_answers_nor_in_the_log() {
    let gw = harness::gateway(ECHO).await;
    let alice = gw.register("alice").await;
    let token = alice.token();
    let tampered = format!("{}x", token);
    let signature = token.rsplit('.').next().expect("a JWT has three parts");

    for token in [&token, &tampered] {
        let fields = format!("Authorization: Bearer {token}\r\nCookie: portcullis_refresh=hush-hush\r\n");
        for target in ["/echo", "/nowhere", "/echo//"] {
            let line = format!("POST {target}?access_token={token}");
            let answer = send(&gw, &line, &fields).await.expect("an answer");
            assert!(answer.status >= 400 || target == "/echo");
            assert!(!answer.head.contains(signature), "{}", answer.head);
            let is_ours = answer.fields("portcullis-reason").next().is_some();
            assert!(!is_ours || !String::from_utf8_lossy(&answer.body).contains(signature));
        }
    }

    gw.logged(|line| line["path"] == "/nowhere").await;
    let log = gw.log();
    assert!(!log.contains(signature) && !log.contains("hush-hush"), "{log}");
}
