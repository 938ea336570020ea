//! How many connections clients may have, by `listen.max_connections`, and what is left for operators.

use crate::harness::{self, Gateway, RawConnection, Setup, eventually};

const HELLO: &[u8] = b"GET /public/hello HTTP/1.1\r\nHost: gateway\r\n\r\n";

fn listen(max_connections: &str) -> String {
    format!(
        r#"
        listen:
          proxy:
            - {{ address: "${{PROXY}}" }}
            - {{ address: "${{PROXY_TLS}}", tls: {{ cert: cert.pem, key: key.pem }} }}
          admin: "${{ADMIN}}"
          max_connections: {{ {max_connections} }}
        "#
    )
}

/// That was answered, or `None` if it was closed at once.
async fn served(gw: &Gateway) -> Option<RawConnection> {
    let mut client = gw.raw_connection().await;
    client.send(HELLO).await;
    let answer = client.answer().await?;
    assert_eq!(answer.status, 200);
    Some(client)
}

async fn refused(gw: &Gateway, limit: &str) -> f64 {
    let label = format!("limit=\"{limit}\"");
    gw.metrics()
        .await
        .value("client_connections_refused_total", &[&label])
        .expect("it is there from the start")
}

/// Once none that the start has left is counted any more.
async fn until_connections(gw: &Gateway, count: f64) {
    let counted = async || {
        let connections = gw.metrics().await.value("client_connections", &[]);
        (connections == Some(count)).then_some(())
    };
    eventually("connections to be counted", counted).await;
}

#[tokio::test]
async fn connections_beyond_the_total_are_closed_and_places_come_free() {
    let gw = harness::gateway(Setup::default().tls().with(&listen("total: 3"))).await;
    until_connections(&gw, 0.0).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(served(&gw).await.expect("there is room"));
    }

    assert!(served(&gw).await.is_none());
    let over_tls = gw.anonymous_over_tls().request(reqwest::Method::GET, "/public/hello").send().await;
    assert!(over_tls.is_err(), "the limit is for all listeners");
    assert_eq!(refused(&gw, "total").await, 2.0);

    clients.pop();
    until_connections(&gw, 2.0).await;
    let over_tls = gw.anonymous_over_tls();
    assert_eq!(over_tls.get("/public/hello").await.status(), 200);
    assert!(served(&gw).await.is_none(), "a connection with TLS counts");
    drop(over_tls);
    until_connections(&gw, 2.0).await;
    assert!(served(&gw).await.is_some());
}

#[tokio::test]
async fn an_address_has_its_own_limit_unless_it_is_a_trusted_proxy() {
    let gw = harness::gateway(Setup::default().tls().with(&listen("per_address: 2"))).await;
    until_connections(&gw, 0.0).await;
    let first = served(&gw).await.expect("there is room");
    let second = served(&gw).await.expect("there is room");
    assert!(served(&gw).await.is_none());
    assert_eq!(refused(&gw, "per_address").await, 1.0);
    drop((first, second));
    until_connections(&gw, 0.0).await;
    assert!(served(&gw).await.is_some());

    let trusted = Setup::default().tls().with(&listen("per_address: 2")).with("trusted_proxies: [127.0.0.1]");
    let gw = harness::gateway(trusted).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(served(&gw).await.expect("a proxy brings many clients"));
    }
}

/// 520 connections that say nothing silence neither the proxy nor the admin port.
#[tokio::test]
async fn class_101_connections_that_say_nothing_do_not_silence_the_gateway() {
    let gw = harness::gateway(Setup::default().tls().descriptors(256, 512)).await;
    let mut silent = Vec::new();
    for _ in 0..520 {
        let mut client = gw.raw_connection().await;
        client.send(b"GET /public/hello HTTP/1.1\r\n").await;
        silent.push(client);
    }

    assert_eq!(gw.readiness().await, Some(200), "the admin port answers");
    let connections = gw.metrics().await.value("client_connections", &[]).expect("it is there");
    assert!(connections <= f64::from((512 - 64) / 2), "{connections}: half of what there is");
    assert!(connections > f64::from((256 - 64) / 2), "{connections}: the soft limit was raised");
    assert!(refused(&gw, "total").await > 0.0);
    drop(silent);
    eventually("the proxy to answer again", async || served(&gw).await).await;
}

/// Even if something else takes every descriptor.
#[tokio::test]
async fn the_admin_port_answers_without_a_free_descriptor() {
    let gw = harness::gateway(Setup::default().tls().with(&listen("total: 100000"))).await;
    until_connections(&gw, 0.0).await;
    gw.limit_descriptors(100);
    let mut silent = Vec::new();
    for _ in 0..150 {
        silent.push(gw.raw_connection().await);
    }

    for _ in 0..5 {
        let mut probe = RawConnection::open(gw.admin_address()).await;
        assert!(probe.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await);
        assert_eq!(probe.answer().await.expect("an answer").status, 200);
    }
}

/// A head that isn't complete costs what has come of it, and no buffers. The figure is for a build without optimisation.
#[tokio::test]
async fn class_101_an_unfinished_head_takes_little_memory() {
    const HEADS: u64 = 400;
    let gw = harness::gateway(Setup::default()).await;
    let mut heads = Vec::new();
    for _ in 0..50 {
        heads.push(unfinished(&gw).await);
    }
    let before = gw.resident_memory();

    for _ in 0..HEADS {
        heads.push(unfinished(&gw).await);
    }
    until_connections(&gw, 50.0 + HEADS as f64).await;

    let each = gw.resident_memory().saturating_sub(before) / HEADS;
    assert!(each < 32, "{each} KiB for each head");
}

async fn unfinished(gw: &Gateway) -> RawConnection {
    let mut client = gw.raw_connection().await;
    assert!(client.send(b"GET /public/hello HTTP/1.1\r\nHost: ").await);
    client
}
