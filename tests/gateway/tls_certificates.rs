//! Which certificate the TLS listener serves, what it refuses to serve, and who resumes a session where.

use std::fs;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::harness::{self, Gateway, Setup, eventually};

const ROUTES: &str = r#"
    routes:
      - { path: /echo, upstream: example, access: public }
"#;

struct Pair {
    certificate: String,
    key: String,
}

fn pair() -> Pair {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("valid names");
    Pair { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() }
}

fn replace(gw: &Gateway, name: &str, text: &str) {
    let draft = gw.home().join("draft.pem");
    fs::write(&draft, text).expect("writable");
    fs::rename(draft, gw.home().join(name)).expect("the same folder");
}

/// A client that trusts these certificates, and remembers its sessions.
fn client(trusted: &[&str]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM");
        roots.add(certificate).expect("a certificate");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Arc::new(config.expect("the provider has them").with_root_certificates(roots).with_no_client_auth())
}

/// The kind of the handshake, if there is one; a request is answered afterwards.
async fn visit(gw: &Gateway, client: &Arc<ClientConfig>) -> Option<HandshakeKind> {
    let tcp = TcpStream::connect(gw.tls_address()).await.ok()?;
    let name = ServerName::try_from("localhost").expect("a name");
    let mut tls = TlsConnector::from(client.clone()).connect(name, tcp).await.ok()?;
    let request = b"GET /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    tls.write_all(request).await.ok()?;
    let mut answer = Vec::new();
    // Its end may come without a close_notify.
    let _ = tls.read_to_end(&mut answer).await;
    answer.starts_with(b"HTTP/1.1 200").then(|| tls.get_ref().1.handshake_kind())?
}

async fn until_served(gw: &Gateway, pair: &Pair) {
    eventually("the renewed certificate", async || visit(gw, &client(&[&pair.certificate])).await).await;
}

fn serial_of(report: &Value) -> String {
    report["certificates"][0]["serial"].as_str().expect("a serial").to_owned()
}

#[tokio::test]
async fn a_renewed_certificate_is_served_on_change_and_told() {
    let gw = harness::gateway(Setup::from(ROUTES).tls()).await;
    let first = serial_of(&gw.readiness_report().await);
    let renewed = pair();

    replace(&gw, "key.pem", &renewed.key);
    replace(&gw, "cert.pem", &renewed.certificate);
    until_served(&gw, &renewed).await;

    let report = gw.readiness_report().await;
    let serial = serial_of(&report);
    assert_ne!(serial, first);
    assert_eq!(report["certificates"][0]["listener"], gw.tls_address().to_string());
    let told = gw.logged(|line| line["message"] == "serving a certificate" && line["serial"] == serial).await;
    assert_eq!(told["listener"], gw.tls_address().to_string());
    let label = format!("listener=\"{}\"", gw.tls_address());
    let end = gw.metrics().await.value("tls_certificate_expiry_timestamp_seconds", &[&label]);
    assert!(end.is_some_and(|end| end > 1.7e9), "{end:?}");
}

#[tokio::test]
async fn sighup_and_the_reload_command_serve_a_renewed_certificate() {
    let gw = harness::gateway(Setup::from(ROUTES).tls()).await;

    let renewed = pair();
    replace(&gw, "key.pem", &renewed.key);
    replace(&gw, "cert.pem", &renewed.certificate);
    gw.signal("HUP");
    until_served(&gw, &renewed).await;

    let renewed = pair();
    replace(&gw, "key.pem", &renewed.key);
    replace(&gw, "cert.pem", &renewed.certificate);
    assert!(gw.cli(&["reload"]).status.success());
    assert!(visit(&gw, &client(&[&renewed.certificate])).await.is_some());
}

#[tokio::test]
async fn a_pair_that_cant_be_used_leaves_the_old_one() {
    let gw = harness::gateway(Setup::from(ROUTES).tls()).await;
    let (old, stranger) = (gw.certificate().to_owned(), pair());

    replace(&gw, "key.pem", &stranger.key);
    eventually("the refusal", async || (gw.refusals() > 0).then_some(())).await;

    assert!(gw.log().contains("the key belongs to another certificate"));
    assert!(visit(&gw, &client(&[&old])).await.is_some());
    let validated = gw.cli(&["validate", "gateway.yaml"]);
    assert_eq!(validated.status.code(), Some(1));
}

#[tokio::test]
async fn a_certificate_may_be_given_by_its_content() {
    let by_content = r#"
        listen:
          proxy:
            - { address: "${PROXY}" }
            - { address: "${PROXY_TLS}", tls: { cert: { file: cert.pem }, key: { file: key.pem } } }
          admin: "${ADMIN}"
    "#;
    let gw = harness::gateway(Setup::from(ROUTES).tls().with(by_content)).await;
    assert!(visit(&gw, &client(&[gw.certificate()])).await.is_some());

    let renewed = pair();
    replace(&gw, "key.pem", &renewed.key);
    replace(&gw, "cert.pem", &renewed.certificate);

    until_served(&gw, &renewed).await;
}

#[tokio::test]
async fn sessions_resume_after_many_other_clients_and_at_the_other_gateway() {
    let one = harness::gateway(Setup::from(ROUTES).tls()).await;
    let other = harness::gateway(Setup::from(ROUTES).tls()).await;
    let trusted = [one.certificate(), other.certificate()];
    let known = client(&trusted);
    assert_eq!(visit(&one, &known).await, Some(HandshakeKind::Full));

    for _ in 0..300 {
        assert_eq!(visit(&one, &client(&trusted)).await, Some(HandshakeKind::Full));
    }

    assert_eq!(visit(&one, &known).await, Some(HandshakeKind::Resumed));
    assert_eq!(visit(&other, &known).await, Some(HandshakeKind::Resumed));
}

#[tokio::test]
async fn handshakes_that_fail_write_no_errors_and_no_build_paths() {
    let gw = harness::gateway(Setup::from(ROUTES).tls()).await;

    for sent in [&b""[..], b"\x16\x03\x01\x00\x05hello", b"\x00\x01\x02", b"GET / HTTP/1.1\r\n\r\n"] {
        for _ in 0..5 {
            let mut probe = TcpStream::connect(gw.tls_address()).await.expect("it listens");
            probe.write_all(sent).await.expect("it reads");
            if !sent.is_empty() {
                let _ = probe.read(&mut [0; 512]).await;
            }
        }
    }
    assert_eq!(visit(&gw, &client(&[])).await, None);
    assert!(visit(&gw, &client(&[gw.certificate()])).await.is_some());

    let log = gw.log();
    assert!(!log.contains("\"ERROR\"") && !log.contains(".cargo") && !log.contains("registry/src"), "{log}");
}

/// As `openssl s_client` does with a request from a pipe, and many small programs.
#[tokio::test]
async fn a_close_notify_right_after_the_request_still_gets_its_answer() {
    for fast_lane in [true, false] {
        let setup = Setup::from(ROUTES).with(&format!("forwarding: {{ fast_lane: {fast_lane} }}"));
        let gw = harness::gateway(setup.tls()).await;
        let tcp = TcpStream::connect(gw.tls_address()).await.expect("it listens");
        let name = ServerName::try_from("localhost").expect("a name");
        let connector = TlsConnector::from(client(&[gw.certificate()]));
        let mut tls = connector.connect(name, tcp).await.expect("a handshake");

        tls.write_all(b"GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("it reads");
        tls.get_mut().1.send_close_notify();
        tls.flush().await.expect("it reads");
        let mut answer = Vec::new();
        let read = tokio::time::timeout(harness::PATIENCE, tls.read_to_end(&mut answer)).await;

        assert!(answer.starts_with(b"HTTP/1.1 200"), "fast lane {fast_lane}: {read:?} {answer:?}");
    }
}
