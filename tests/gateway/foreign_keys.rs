//! Keys of other issuers: odd ones, where they may be fetched, and what becomes of tokens while a new one isn't
//! known yet.

use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::foreign_issuers::{Provider, header, key_set, passed, public, staff, status};
use crate::foreign_providers::{Site, claims, invalid, setup};
use crate::forge::{PrivateKey, encode, with, without};
use crate::harness::{self, Reason as _, Reload, Wiretap};

fn p521_token(pair: &EcdsaKeyPair, header: &Value, claims: &Value) -> String {
    let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
    let signature = pair.sign(&SystemRandom::new(), message.as_bytes()).expect("there is randomness");
    format!("{message}.{}", encode(signature))
}

#[tokio::test]
async fn es512_and_ed25519_by_its_new_name_are_verified() {
    let large = EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING).expect("there is randomness");
    let other = EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING).expect("the same");
    let point = large.public_key().as_ref();
    let (edwards, old) = (PrivateKey::ed25519(), PrivateKey::ed25519());
    let keys = json!({ "keys": [
        { "kty": "EC", "crv": "P-521", "kid": "p521", "alg": "ES512", "x": encode(&point[1..67]), "y": encode(&point[67..]) },
        with(public("ed", &edwards), "alg", "Ed25519"),
        with(public("old", &old), "alg", "EdDSA"),
    ] });
    let lines = "issuer: https://idp.example\naudience: backend";
    let gw = harness::gateway(setup(lines, &keys)).await;
    let es512 = json!({ "alg": "ES512", "kid": "p521", "typ": "at+jwt" });

    assert_eq!(status(&gw, &p521_token(&large, &es512, &claims()), "/protected").await, passed());
    assert_eq!(status(&gw, &p521_token(&other, &es512, &claims()), "/protected").await, invalid());
    let renamed = with(es512, "alg", "ES384");
    assert_eq!(status(&gw, &p521_token(&large, &renamed, &claims()), "/protected").await, invalid());
    for (key, kid) in [(&edwards, "ed"), (&old, "old")] {
        for alg in ["Ed25519", "EdDSA"] {
            let token = key.token(&with(header(kid, key), "alg", alg), &claims());
            assert_eq!(status(&gw, &token, "/protected").await, passed(), "{kid} {alg}");
        }
    }
    let narrow = setup(&format!("{lines}\nalgorithms: [Ed25519]"), &keys);
    assert_eq!(gw.reload(narrow).await, Reload::InForce);
    let named = |alg: &str| edwards.token(&with(header("ed", &edwards), "alg", alg), &claims());
    assert_eq!(status(&gw, &named("Ed25519"), "/protected").await, passed());
    assert_eq!(status(&gw, &named("EdDSA"), "/protected").await, invalid());
}

#[tokio::test]
async fn a_single_key_needs_no_kid_and_two_of_one_kid_are_both_tried() {
    let (key, second) = (PrivateKey::p256(), PrivateKey::p256());
    let lines = "issuer: https://idp.example\naudience: backend";
    let nameless = json!({ "keys": [without(public("one", &key), "kid")] });
    let without_kid = key.token(&without(header("one", &key), "kid"), &claims());
    let with_kid = key.token(&header("one", &key), &claims());
    let forged = second.token(&without(header("one", &second), "kid"), &claims());

    let gw = harness::gateway(setup(lines, &nameless)).await;
    assert_eq!(status(&gw, &without_kid, "/protected").await, passed());
    assert_eq!(status(&gw, &with_kid, "/protected").await, passed());
    assert_eq!(status(&gw, &forged, "/protected").await, invalid());

    let gw = harness::gateway(setup(lines, &key_set(&[("one", &key)]))).await;
    assert_eq!(status(&gw, &without_kid, "/protected").await, passed(), "there is no other it could be by");
    assert_eq!(status(&gw, &forged, "/protected").await, invalid());

    let gw = harness::gateway(setup(lines, &key_set(&[("one", &key), ("one", &second)]))).await;
    assert_eq!(status(&gw, &with_kid, "/protected").await, passed());
    let by_second = second.token(&header("one", &second), &claims());
    assert_eq!(status(&gw, &by_second, "/protected").await, passed());
    assert_eq!(
        status(&gw, &without_kid, "/protected").await,
        invalid(),
        "of several keys, a token names one"
    );
    gw.logged(|line| line["token_cause"] == "kid_missing").await;
}

#[tokio::test]
async fn keys_may_be_behind_a_redirect_on_the_same_server_and_on_no_other() {
    let key = PrivateKey::p256();
    let (site, elsewhere) = (Site::start().await, Site::start().await);
    let keys = key_set(&[("one", &key)]);
    site.publish("/keys", keys.clone());
    elsewhere.publish("/keys", keys);
    site.publish("/moved", json!("/moved/again"));
    site.publish("/moved/again", json!(format!("{}/keys", site.base)));
    site.publish("/away", json!(format!("{}/keys", elsewhere.base)));
    let section = |path: &str| {
        let base = &site.base;
        format!(
            "issuers:\n  x:\n    issuer: https://idp.example\n    audience: backend\n    jwks: {base}{path}\n"
        )
    };
    let token = key.token(&header("one", &key), &claims());

    let gw = harness::gateway(setup("", &json!({})).with(&section("/moved"))).await;
    assert_eq!(status(&gw, &token, "/protected").await, passed());

    assert_eq!(gw.reload(setup("", &json!({})).with(&section("/away"))).await, Reload::InForce);
    assert_eq!(status(&gw, &token, "/protected").await, (503, "store_unavailable".to_owned()));
    let told = |line: &Value| line.to_string().contains("it redirects to another server or scheme");
    gw.logged(told).await;
}

/// A proxy that connects every request to one server, and counts them.
async fn connecting_proxy(server: std::net::SocketAddr) -> (String, Arc<Mutex<Vec<String>>>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    let serving = tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let seen = seen.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await?);
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                seen.lock().expect("no panic").push(head.lines().next().unwrap_or_default().to_owned());
                client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
                let mut server = TcpStream::connect(server).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    (url, asked, serving)
}

#[tokio::test]
async fn keys_are_fetched_through_the_proxy_of_the_environment_and_only_over_tls() {
    let key = PrivateKey::p256();
    let site = Site::start().await;
    site.publish("/keys", key_set(&[("one", &key)]));
    let address = site.base.trim_start_matches("http://").parse().expect("an address");
    let tls = Wiretap::with_tls_before(address, "idp.test").await;
    let ca = std::fs::read_to_string(tls.certificate_file()).expect("it was written");
    let (proxy, asked, _serving) = connecting_proxy(tls.address()).await;
    let section = |jwks: &str| {
        let over_tls = if jwks.starts_with("https:") { "    ca: \"${CA}\"\n" } else { "" };
        format!(
            "issuers:\n  x:\n    issuer: https://idp.example\n    audience: backend\n    jwks: {jwks}\n{over_tls}"
        )
    };
    let through_proxy = setup("", &json!({}))
        .with(&section("https://idp.test/keys"))
        .env("CA", ca)
        .env("HTTPS_PROXY", proxy.clone())
        .env("HTTP_PROXY", proxy);
    let gw = harness::gateway(through_proxy).await;
    let token = key.token(&header("one", &key), &claims());

    assert_eq!(status(&gw, &token, "/protected").await, passed());
    assert_eq!(*asked.lock().expect("no panic"), ["CONNECT idp.test:443 HTTP/1.1"]);

    let plain = setup("", &json!({})).with(&section(&format!("{}/keys", site.base)));
    assert_eq!(gw.reload(plain).await, Reload::InForce);
    assert_eq!(status(&gw, &token, "/protected").await, passed());
    assert_eq!(asked.lock().expect("no panic").len(), 1, "what isn't encrypted goes straight there");
}

#[tokio::test]
async fn a_rotation_after_a_strangers_unknown_key_is_put_off_and_never_refused() {
    let (first, second) = (PrivateKey::p256(), PrivateKey::p256());
    let provider = Provider::start(&[("one", &first)]).await;
    let gw = harness::gateway(provider.setup().with(&staff("cooldown: 1h"))).await;
    let old = first.token(&header("one", &first), &provider.claims());
    let new = second.token(&header("two", &second), &provider.claims());
    let stranger = second.token(&header("made-up", &second), &provider.claims());
    assert_eq!(status(&gw, &old, "/protected").await, passed());
    provider.publish(Some(key_set(&[("one", &first), ("two", &second)])));

    // The issuer was asked a moment ago, so that nobody can say yet.
    for token in [&stranger, &new] {
        let client = gw.anonymous();
        let answer = client.send(client.request(Method::GET, "/protected").bearer_auth(token)).await;
        assert_eq!((answer.status().as_u16(), answer.reason()), (503, Some("store_unavailable")));
        let wait =
            answer.headers().get("retry-after").and_then(|wait| wait.to_str().ok()?.parse::<u64>().ok());
        assert!(wait.is_some_and(|wait| (1..=3600).contains(&wait)), "{wait:?}");
    }
    gw.logged(|line| line["token_cause"] == "key_not_fetched").await;
    assert_eq!(provider.fetches(), 1);

    // As soon as it may be asked again, a stranger's key is known to be none, and the new one is there.
    assert_eq!(gw.reload(provider.setup().with(&staff("cooldown: 1s"))).await, Reload::InForce);
    let definite = async || (status(&gw, &stranger, "/protected").await == invalid()).then_some(());
    harness::eventually("the stranger's refusal", definite).await;
    assert_eq!(status(&gw, &stranger, "/protected").await, invalid(), "and it stays one");
    assert_eq!(status(&gw, &new, "/protected").await, passed());
    provider.publish(Some(key_set(&[("three", &first)])));
    let third = first.token(&header("three", &first), &provider.claims());
    let taken = async || match status(&gw, &third, "/protected").await {
        (503, _) => None,
        other => Some(other),
    };
    assert_eq!(harness::eventually("the third key", taken).await, passed());
    assert_eq!(status(&gw, &new, "/protected").await, invalid(), "a key that was withdrawn is no new one");
}

/// With a single key in its set, an issuer's tokens need not name it.
#[tokio::test]
async fn a_strangers_token_without_a_kid_refuses_no_token_by_a_new_key_without_one() {
    let (first, second, stranger) = (PrivateKey::p256(), PrivateKey::p256(), PrivateKey::p256());
    let nameless = |key: &PrivateKey| key_set_without_kid(key);
    let provider = Provider::start(&[("one", &first)]).await;
    provider.publish(Some(nameless(&first)));
    let gw = harness::gateway(provider.setup().with(&staff("cooldown: 1s"))).await;
    let token = |key: &PrivateKey| key.token(&without(header("x", key), "kid"), &provider.claims());
    // Once the issuer has answered, it is no key of its own.
    let refused = async || (status(&gw, &token(&stranger), "/protected").await == invalid()).then_some(());
    harness::eventually("the stranger's refusal", refused).await;

    provider.publish(Some(nameless(&second)));

    let taken = async || match status(&gw, &token(&second), "/protected").await {
        (503, code) => {
            assert_eq!(code, "store_unavailable");
            None
        }
        other => Some(other),
    };
    assert_eq!(harness::eventually("the new key", taken).await, passed(), "put off, and never refused");
}

fn key_set_without_kid(key: &PrivateKey) -> Value {
    json!({ "keys": [without(public("one", key), "kid")] })
}

/// Entra says so of keys that sign for one tenant only.
#[tokio::test]
async fn a_key_that_is_for_another_issuer_verifies_nothing_here() {
    let (own, common, other) = (PrivateKey::p256(), PrivateKey::p256(), PrivateKey::p256());
    let keys = json!({ "keys": [
        with(public("own", &own), "issuer", "https://idp.example"),
        public("common", &common),
        with(public("other", &other), "issuer", "https://other.example"),
    ] });
    let gw = harness::gateway(setup("issuer: https://idp.example\naudience: backend", &keys)).await;
    let token = |kid: &str, key: &PrivateKey| key.token(&header(kid, key), &claims());

    assert_eq!(status(&gw, &token("own", &own), "/protected").await, passed());
    assert_eq!(status(&gw, &token("common", &common), "/protected").await, passed());
    assert_eq!(status(&gw, &token("other", &other), "/protected").await, invalid());
    gw.logged(|line| line["token_cause"] == "wrong_issuer").await;
}

#[tokio::test]
async fn keys_that_cannot_be_fetched_put_a_new_key_off() {
    let (first, second) = (PrivateKey::p256(), PrivateKey::p256());
    let provider = Provider::start(&[("one", &first)]).await;
    let gw = harness::gateway(provider.setup().with(&staff("cooldown: 1s"))).await;
    let old = first.token(&header("one", &first), &provider.claims());
    assert_eq!(status(&gw, &old, "/protected").await, passed());
    provider.publish(None);
    let new = second.token(&header("two", &second), &provider.claims());

    let failed = async || {
        assert_eq!(status(&gw, &new, "/protected").await, (503, "store_unavailable".to_owned()));
        (provider.fetches() >= 2).then_some(())
    };
    harness::eventually("a fetch that failed", failed).await;

    assert_eq!(status(&gw, &new, "/protected").await, (503, "store_unavailable".to_owned()));
    provider.publish(Some(key_set(&[("two", &second)])));
    let taken = async || (status(&gw, &new, "/protected").await == passed()).then_some(());
    harness::eventually("the new key", taken).await;
}
