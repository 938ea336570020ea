//! `auth.limits`: endpoints that the file doesn't name keep their built-in limit.

use serde_json::json;

use crate::harness::{self, Setup, Stores};
use crate::refusal::Refusal;

const LOGIN_NAMED: &str = "
    auth: { limits: { login: [many], register: [] } }
    limits: { many: { rate: 100/1m, by: address } }
";

#[tokio::test]
async fn an_endpoint_that_the_file_does_not_name_keeps_its_limit() {
    let on_servers = Setup::from(LOGIN_NAMED).stores(&Stores::servers().await);
    for gw in [harness::gateway(LOGIN_NAMED).await, harness::gateway(on_servers).await] {
        let nobody = gw.anonymous();
        let guess = json!({ "ticket": "garbage", "code": "123456" });
        for _ in 0..5 {
            assert_eq!(nobody.post("/auth/login/mfa", &guess).await.status(), 400);
        }

        let sixth = Refusal::read(nobody.post("/auth/login/mfa", &guess).await).await;

        assert_eq!(sixth, (429, "rate_limited"));
        let login = json!({ "username": "alice", "password": "a wrong password" });
        for _ in 0..6 {
            let answer = Refusal::read(nobody.post("/auth/login", &login).await).await;
            assert_ne!(answer, (429, "rate_limited"), "its limit is the named one");
        }
    }
}
