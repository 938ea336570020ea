//! What takes an account's rights away counts at every gateway at once, and goes on counting when Redis comes
//! back without its data.

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use crate::harness::{self, Client, Gateway, PASSWORD, Reason, Setup, Stores, eventually};
use crate::second_factor::{enrol, login, second_step, ticket};
use crate::servers::redis::Redis;

struct Fleet {
    gateways: [Gateway; 2],
    root: Client,
    redis: Arc<Redis>,
}

impl Fleet {
    async fn start() -> Self {
        let stores = Stores::servers().await;
        let Stores::Servers { redis, .. } = &stores else { unreachable!("asked for") };
        let redis = redis.clone();
        let one = harness::gateway(Setup::default().stores(&stores)).await;
        let other = harness::gateway(Setup::default().stores(&stores).upstream(one.upstream())).await;
        let root = one.admin("root").await;
        Self { gateways: [one, other], root, redis }
    }

    /// At the admin port of the first gateway.
    async fn order(&self, method: Method, path: &str, body: Option<Value>) {
        let request = self.gateways[0].admin_request(method, path).bearer_auth(self.root.token());
        let request = body.iter().fold(request, |request, body| request.json(body));
        let answer = request.send().await.expect("the admin port answers");
        assert!(answer.status().is_success(), "{path}: {answer:?}");
    }

    /// What each gateway says to this credential.
    async fn verdicts(&self, credential: &str) -> [Option<String>; 2] {
        let [one, other] = &self.gateways;
        let verdict = async |gateway: &Gateway| {
            let client = gateway.anonymous();
            let answer = client.send(client.request(Method::GET, "/protected").bearer_auth(credential)).await;
            answer.reason().map(str::to_owned)
        };
        [verdict(one).await, verdict(other).await]
    }

    /// Redis ends, and is started again with nothing in it.
    async fn lose_what_redis_holds(&self) {
        self.redis.kill();
        self.redis.restart();
        let _: Option<String> = self.redis.ask(&["FLUSHALL"]);
        for gateway in &self.gateways {
            eventually("the gateway to be ready", async || gateway.readiness().await.filter(|s| *s == 200))
                .await;
        }
    }

    async fn until_refused(&self, credential: &str, reason: &str) {
        let expected = [Some(reason.to_owned()), Some(reason.to_owned())];
        eventually(reason, async || (self.verdicts(credential).await == expected).then_some(())).await;
    }
}

#[tokio::test]
async fn what_is_taken_away_stays_so_when_redis_comes_back_empty() {
    let fleet = Fleet::start().await;
    let first = &fleet.gateways[0];
    let (demoted, disabled) = (first.register("demoted").await, first.register("disabled").await);
    let (renewed, ended) = (first.register("renewed").await, first.register("ended").await);
    let keeper = first.register("keeper").await;
    let wishes = json!({ "name": "report", "password": PASSWORD });
    let key: Value = keeper.post("/auth/keys", &wishes).await.json().await.expect("JSON");
    let key_text = key["key"].as_str().expect("a new key is shown");
    for credential in [demoted.token(), disabled.token(), renewed.token(), ended.token(), key_text.to_owned()]
    {
        assert_eq!(fleet.verdicts(&credential).await, [None, None]);
    }

    fleet.order(Method::PUT, "/api/users/demoted/roles", Some(json!({ "roles": ["guest"] }))).await;
    fleet.order(Method::POST, "/api/users/disabled/disable", None).await;
    let change = json!({ "old_password": PASSWORD, "new_password": "a horse of another colour" });
    assert_eq!(renewed.post("/auth/password", &change).await.status(), 200);
    let sessions: Value = ended.get("/auth/sessions").await.json().await.expect("JSON");
    let session = format!("/auth/sessions/{}", sessions["sessions"][0]["id"].as_str().expect("an id"));
    assert_eq!(ended.send(ended.request(Method::DELETE, &session)).await.status(), 204);
    let key_path = format!("/auth/keys/{}", key["id"].as_str().expect("an id"));
    let delete = keeper.request(Method::DELETE, &key_path).json(&json!({ "password": PASSWORD }));
    assert_eq!(keeper.send(delete).await.status(), 204);

    let taken = [
        (demoted.token(), "token_stale"),
        (disabled.token(), "token_revoked"),
        (renewed.token(), "token_revoked"),
        (ended.token(), "token_revoked"),
        (key_text.to_owned(), "token_invalid"),
    ];
    for (credential, reason) in &taken {
        fleet.until_refused(credential, reason).await;
    }

    fleet.lose_what_redis_holds().await;
    for (credential, reason) in &taken {
        assert_eq!(
            fleet.verdicts(credential).await,
            [Some((*reason).to_owned()), Some((*reason).to_owned())]
        );
    }
    for (username, password) in [("disabled", PASSWORD), ("renewed", PASSWORD)] {
        let login = json!({ "username": username, "password": password });
        let refused = fleet.gateways[1].anonymous().post("/auth/login", &login).await;
        assert!(refused.status().is_client_error(), "{username}: {refused:?}");
    }
    let login = json!({ "username": "demoted", "password": PASSWORD });
    let again: Value =
        fleet.gateways[1].anonymous().post("/auth/login", &login).await.json().await.expect("JSON");
    let token = again["access_token"].as_str().expect("a token");
    let client = fleet.gateways[0].anonymous();
    client.set_token(Some(token.to_owned()));
    let me: Value = client.get("/auth/me").await.json().await.expect("JSON");
    assert_eq!(me["roles"], json!(["guest"]));
}

/// What an operator takes away with a second factor: what was begun with it ends, and nothing asks for it any
/// more.
#[tokio::test]
async fn a_second_factor_that_is_reset_stays_so_when_redis_comes_back_empty() {
    let fleet = Fleet::start().await;
    let [one, other] = &fleet.gateways;
    let (alice, bob) = (one.register("alice").await, one.register("bob").await);
    let (mut app, codes) = enrol(&alice).await;
    let (mut app_of_bob, _) = enrol(&bob).await;
    let (half_way, also_half_way) = (ticket(other, "alice").await, ticket(other, "alice").await);
    assert_eq!(fleet.verdicts(&alice.token()).await, [None, None]);

    fleet.order(Method::DELETE, "/api/users/alice/mfa", None).await;

    fleet.until_refused(&alice.token(), "token_revoked").await;
    let assert_gone = async |ticket: &str, code: &str| {
        let answer = second_step(&other.anonymous(), ticket, code).await;
        assert_eq!(answer.reason(), Some("one_time_token_invalid"), "what was begun with the factor");
        for gateway in [one, other] {
            assert_eq!(login(gateway, "alice").await.status(), 200, "the password is enough");
        }
    };
    assert_gone(&half_way, &app.code()).await;

    fleet.lose_what_redis_holds().await;
    assert_eq!(fleet.verdicts(&alice.token()).await, ["token_revoked"; 2].map(|code| Some(code.to_owned())));
    assert_gone(&also_half_way, &codes[0]).await;
    let ticket = ticket(other, "bob").await;
    assert_eq!(second_step(&other.anonymous(), &ticket, &app_of_bob.code()).await.status(), 200);
}
