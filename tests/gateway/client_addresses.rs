//! Who the client is, behind load balancers that say it in their own ways.

use crate::harness::{self, Echo, Gateway, RawAnswer, Setup};

const TRUSTING: &str = "
    trusted_proxies: [127.0.0.0/8, 10.0.0.0/8, fe80::/10]
    routes:
      - { path: /echo, upstream: example, access: public }
";

async fn get(gw: &Gateway, fields: &[u8]) -> RawAnswer {
    let mut connection = gw.raw_connection().await;
    connection.send(&[b"GET /echo HTTP/1.1\r\nHost: gateway\r\n", fields, b"\r\n"].concat()).await;
    connection.answer().await.expect("an answer")
}

/// The client's address in the log, and the chain that the upstream is told.
async fn seen(gw: &Gateway, fields: &[u8]) -> (String, String) {
    let answer = get(gw, fields).await;
    let id = answer.fields("x-request-id").next().expect("every answer has one").to_owned();
    let line = gw.logged(|line| line["request_id"] == id.as_str()).await;
    let chain = Echo::read(&answer.body).fields("x-forwarded-for").concat();
    (line["address"].as_str().expect("text").to_owned(), chain)
}

#[tokio::test]
async fn addresses_with_ports_and_zones_are_read() {
    let gw = harness::gateway(TRUSTING).await;

    for (said, address) in [
        ("203.0.113.7:51812", "203.0.113.7"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[::ffff:203.0.113.7]:1", "203.0.113.7"),
        ("198.51.100.7, 203.0.113.7:80 ,\t10.0.0.1:1234", "203.0.113.7"),
        ("203.0.113.7:1, fe80::1%eth0", "203.0.113.7"),
        ("203.0.113.7:1, [fe80::1%25eth0]:443", "203.0.113.7"),
    ] {
        let (seen, chain) = seen(&gw, format!("X-Forwarded-For: {said}\r\n").as_bytes()).await;

        assert_eq!(seen, address, "{said}");
        let as_said = said.replace(" ,\t", ", ");
        assert_eq!(chain, format!("{as_said}, 127.0.0.1"), "{said}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_ends_the_search_at_the_last_address_that_could() {
    let gw = harness::gateway(TRUSTING).await;

    for (fields, address, chain) in [
        // A client's own line, and that of a load balancer which passes on what it can't read.
        (
            &b"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: \xff, 203.0.113.77\r\n"[..],
            "203.0.113.77",
            "203.0.113.77",
        ),
        (b"X-Forwarded-For: 6.6.6.6, \xff, 10.0.0.1\r\n", "10.0.0.1", "10.0.0.1"),
        (b"X-Forwarded-For: 6.6.6.6\xff\r\n", "127.0.0.1", ""),
        (b"X-Forwarded-For: 6.6.6.6, nonsense, 10.0.0.1\r\n", "10.0.0.1", "10.0.0.1"),
        (b"X-Forwarded-For: 6.6.6.6, 203.0.113.7:99999\r\n", "127.0.0.1", ""),
        (b"X-Forwarded-For: 6.6.6.6, 203.0.113.7:\r\n", "127.0.0.1", ""),
        (b"X-Forwarded-For: 6.6.6.6, [203.0.113.7\r\n", "127.0.0.1", ""),
        (b"X-Forwarded-For: 6.6.6.6, unknown\r\n", "127.0.0.1", ""),
    ] {
        let chain = if chain.is_empty() { "127.0.0.1".to_owned() } else { format!("{chain}, 127.0.0.1") };
        assert_eq!(seen(&gw, fields).await, (address.to_owned(), chain), "{}", fields.escape_ascii());
    }
}

#[tokio::test]
async fn a_forwarded_scheme_is_understood_in_a_list_and_in_any_case() {
    let gw = harness::gateway(TRUSTING).await;

    for (said, scheme) in [
        ("https", "https"),
        ("HTTPS", "https"),
        ("https, http", "https"),
        ("http, https", "http"),
        ("Https ,http", "https"),
        ("wss", "https"),
        ("gopher", "http"),
        ("", "http"),
        ("httpsx", "http"),
    ] {
        let answer = get(&gw, format!("X-Forwarded-Proto: {said}\r\n").as_bytes()).await;
        assert_eq!(Echo::read(&answer.body).fields("x-forwarded-proto"), [scheme], "{said}");
    }
}

/// As behind a TLS terminator on the same machine that gateway.yaml doesn't name.
#[tokio::test]
async fn cookies_are_secure_where_the_issuer_is_reached_by_https_and_nothing_else_tells() {
    let tokens = "tokens: { issuer: \"https://shop.test\", audience: a, keys: [{ id: k, algorithm: HS256, secret: \"${TOKEN_SECRET}\" }] }";
    let gw = harness::gateway(Setup::from(tokens).with("trusted_proxies: [127.0.0.1]")).await;
    let account = format!(r#"{{"username":"alice","password":"{}"}}"#, harness::PASSWORD);
    let post = async |path: &str, fields: &str| {
        let mut connection = gw.raw_connection().await;
        let length = account.len();
        let head =
            format!("POST {path} HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n");
        connection.send(format!("{head}{fields}\r\n{account}").as_bytes()).await;
        connection.answer().await.expect("an answer")
    };
    assert_eq!(post("/auth/register", "Host: localhost:8080\r\n").await.status, 201);
    let cookie = async |fields: &str| {
        let answer = post("/auth/login", fields).await;
        assert_eq!(answer.status, 200, "{}", answer.head);
        let cookies: Vec<_> = answer.fields("set-cookie").map(str::to_owned).collect();
        cookies.into_iter().find(|cookie| cookie.contains("portcullis_refresh")).expect("a cookie")
    };

    let untold = cookie("Host: localhost:8080\r\n").await;
    let told = cookie("Host: localhost:8080\r\nX-Forwarded-Proto: http\r\n").await;

    assert!(untold.starts_with("__Secure-portcullis_refresh=") && untold.contains("; Secure"), "{untold}");
    assert!(told.starts_with("portcullis_refresh_8080=") && !told.contains("; Secure"), "{told}");
}

#[tokio::test]
async fn a_trusted_proxys_request_id_is_kept_where_the_file_says_so() {
    let trusting = harness::gateway(Setup::from(TRUSTING).with("request_id: { trust: true }")).await;
    let silent = harness::gateway(TRUSTING).await;
    let of_strangers = harness::gateway(
        Setup::from(TRUSTING).with("request_id: { trust: true }\ntrusted_proxies: [10.0.0.1]"),
    )
    .await;
    let given = b"X-Request-Id: edge-7:01J9/a=b\r\n";

    let answer = get(&trusting, given).await;
    assert_eq!(answer.fields("x-request-id").collect::<Vec<_>>(), ["edge-7:01J9/a=b"]);
    assert_eq!(Echo::read(&answer.body).fields("x-request-id"), ["edge-7:01J9/a=b"]);
    trusting.logged(|line| line["request_id"] == "edge-7:01J9/a=b").await;

    for (gw, fields) in [
        (&silent, &given[..]),
        (&of_strangers, given),
        (&trusting, b"X-Request-Id: a\r\nX-Request-Id: b\r\n"),
        (&trusting, b"X-Request-Id: a\"b\r\n"),
        (&trusting, b"X-Request-Id: \r\n"),
        (&trusting, b"X-Request-Id: a\xff\r\n"),
        (&trusting, b""),
    ] {
        let answer = get(gw, fields).await;
        let id = answer.fields("x-request-id").collect::<Vec<_>>();
        let is_ours = |id: &str| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(id.len() == 1 && is_ours(id[0]), "{id:?} for {}", fields.escape_ascii());
    }
}
