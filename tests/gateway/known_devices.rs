//! Browsers that signed in are known wherever they sign in again, also at an alias outside of the prefix.

use reqwest::{Method, Response};
use serde_json::json;

use crate::harness::{self, Client, PASSWORD, Reason as _, Setup, Stores};

const ALIASED: &str = "
    auth:
      registration: open
      limits: off
      lockout: { failures: 3, for: 15m }
      aliases: { /sign-in: login }
";

async fn sign_in(client: &Client, password: &str) -> Response {
    let credentials = json!({ "username": "alice", "password": password });
    client.send(client.request_without_token(Method::POST, "/sign-in").json(&credentials)).await
}

#[tokio::test]
async fn a_browser_that_signed_in_at_an_alias_outside_the_prefix_is_a_known_device() {
    for stores in [Stores::Embedded, Stores::servers().await] {
        let gw = harness::gateway(Setup::from(ALIASED).stores(&stores)).await;
        gw.register("alice").await;
        let browser = gw.client("alice");
        let granted = sign_in(&browser, PASSWORD).await;
        assert_eq!(granted.status(), 200);
        let cookies = granted.headers().get_all("set-cookie").iter();
        let mut cookies = cookies.map(|cookie| cookie.to_str().expect("ASCII"));
        let device = cookies.find(|cookie| cookie.contains("portcullis_device")).expect("a device cookie");
        assert!(device.split("; ").any(|part| part == "Path=/"), "{device}");

        // From the same address, which is known, too.
        for _ in 0..3 {
            assert_eq!(sign_in(&gw.anonymous(), "not the right password").await.status(), 401);
        }

        assert_eq!(sign_in(&gw.anonymous(), PASSWORD).await.reason(), Some("account_locked"));
        assert_eq!(sign_in(&browser, PASSWORD).await.status(), 200, "the browser counts apart");
    }
}
