//! A reload that shortens `tokens.access_ttl`: revocations live for the new time, so that no token may count for longer.

use serde_json::json;

use crate::forge::{self, claims, header, now, with};
use crate::harness::{self, Reload};

fn tokens(access_ttl: &str) -> String {
    format!(
        "tokens:\n  issuer: http://localhost:8080\n  audience: portcullis\n  access_ttl: {access_ttl}\n  \
         keys: [{{ id: k1, algorithm: HS256, secret: \"${{TOKEN_SECRET}}\" }}]\n"
    )
}

#[tokio::test]
async fn a_token_from_before_a_shorter_access_ttl_counts_no_longer_than_new_ones() {
    let gw = harness::gateway(tokens("1h").as_str()).await;
    let issued = |ago: u64| {
        let claims = with(with(claims(), "iat", now() - ago), "exp", now() - ago + 3600);
        forge::token(&header(), &claims)
    };
    let (old, new) = (issued(1200), issued(10));
    let client = gw.anonymous();
    assert_eq!(client.present(&old, "/protected").await.status, 200);

    assert_eq!(gw.reload(tokens("15m").as_str()).await, Reload::InForce);

    assert_eq!(client.present(&old, "/protected").await, (401, "token_expired"));
    assert_eq!(client.present(&new, "/protected").await.status, 200);
    let alice = gw.register("alice").await;
    let asked = alice.post("/auth/introspect", &json!({ "token": new })).await;
    let said: serde_json::Value = asked.json().await.expect("it answers in JSON");
    assert_eq!(said["exp"].as_u64().zip(said["iat"].as_u64()).map(|(exp, iat)| exp - iat), Some(900));
}
