//! Keys of other issuers over time: new ones, withdrawn ones, and issuers that are away.

use crate::foreign_issuers::{Provider, header, key_set, passed, staff, status};
use crate::forge::{PrivateKey, with};
use crate::harness::{self, Reload};

#[tokio::test]
async fn a_new_key_is_fetched_when_a_token_names_it_and_a_withdrawn_one_is_forgotten() {
    let (first, second) = (PrivateKey::p256(), PrivateKey::p256());
    let provider = Provider::start(&[("one", &first)]).await;
    let gw = harness::gateway(provider.setup().with(&staff("cooldown: 1h"))).await;
    let old = first.token(&header("one", &first), &provider.claims());
    let new = second.token(&header("two", &second), &provider.claims());
    assert_eq!(status(&gw, &old, "/protected").await, passed());
    provider.publish(Some(key_set(&[("two", &second)])));

    assert_eq!(
        status(&gw, &new, "/protected").await,
        (503, "store_unavailable".to_owned()),
        "asked a moment ago"
    );
    assert_eq!(provider.fetches(), 1);

    provider.publish(Some(key_set(&[("one", &first)])));
    assert_eq!(gw.reload(provider.setup().with(&staff("cooldown: 1s"))).await, Reload::InForce);
    let fetched = async || (provider.fetches() == 2).then_some(());
    harness::eventually("the changed issuer's first fetch", fetched).await;
    assert_eq!(status(&gw, &old, "/protected").await, passed());
    provider.publish(Some(key_set(&[("two", &second)])));
    let taken = async || (status(&gw, &new, "/protected").await == passed()).then_some(());
    harness::eventually("the new key", taken).await;

    assert_eq!(provider.fetches(), 3, "however often the token came");
    assert_eq!(status(&gw, &old, "/protected").await, (401, "token_invalid".to_owned()));
}

#[tokio::test]
async fn a_provider_that_is_away_is_missed_only_until_its_keys_are_known() {
    let key = PrivateKey::p256();
    let provider = Provider::start(&[("one", &key)]).await;
    let setup = || provider.setup().with(&staff("cooldown: 1s"));
    let gw = harness::gateway(setup()).await;
    let token = key.token(&header("one", &key), &provider.claims());
    assert_eq!(status(&gw, &token, "/protected").await, passed());
    provider.publish(None);

    let later = key.token(&header("one", &key), &with(provider.claims(), "jti", "later"));
    assert_eq!(status(&gw, &later, "/protected").await, passed());
    // A reload keeps the keys of an issuer that is the same as before.
    let changed = setup().with("trusted_proxies: [192.0.2.1]");
    assert_eq!(gw.reload(changed).await, Reload::InForce);
    assert_eq!(status(&gw, &token, "/protected").await, passed());

    gw.restart().await;

    assert_eq!(status(&gw, &token, "/protected").await, (503, "store_unavailable".to_owned()));
    let alice = gw.register("alice").await;
    assert_eq!(alice.get("/protected").await.status(), 200, "our own tokens need nobody");

    provider.publish(Some(key_set(&[("one", &key)])));
    let taken = async || (status(&gw, &token, "/protected").await == passed()).then_some(());
    harness::eventually("the provider's return", taken).await;
}

#[tokio::test]
async fn a_discovery_document_of_somebody_else_brings_no_keys() {
    let key = PrivateKey::p256();
    let provider = Provider::start(&[("one", &key)]).await;
    provider.claim_to_be("https://other.example");
    let gw = harness::gateway(provider.setup()).await;
    let token = key.token(&header("one", &key), &provider.claims());

    assert_eq!(status(&gw, &token, "/protected").await, (503, "store_unavailable".to_owned()));
    assert_eq!(provider.fetches(), 0);
}

#[tokio::test]
async fn keys_may_be_in_a_file() {
    let key = PrivateKey::p256();
    let provider = Provider::start(&[("one", &key)]).await;
    let setup = provider.setup().with(
        r#"
        issuers:
          staff: { issuer: "${ISSUER}", audience: backend, algorithms: [ES256], jwks: "${KEYS}" }
        "#,
    );
    let gw = harness::gateway(setup.env("KEYS", key_set(&[("one", &key)]).to_string())).await;
    let token = key.token(&header("one", &key), &provider.claims());

    assert_eq!(status(&gw, &token, "/protected").await, passed());
    // Nothing says where roles are, so there are none.
    assert_eq!(status(&gw, &token, "/admin/dashboard").await, (403, "role_missing".to_owned()));
    assert_eq!(provider.fetches(), 0);
}
