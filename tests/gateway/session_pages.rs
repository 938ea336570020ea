//! Sessions of one account: listed in pages, and bounded.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use portcullis::clock;
use portcullis::store::redis::RedisState;
use portcullis::store::sqlite::SqliteState;
use portcullis::store::{Bound, Session, Sessions, Start};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{self, Client, Gateway, Reason as _, Setup, Stores};

const THREE: &str = r#"
    tokens:
      issuer: http://localhost:8080
      audience: portcullis
      max_sessions: 3
      keys: [{ id: k1, algorithm: HS256, secret: "${TOKEN_SECRET}" }]
"#;

async fn both_editions(yaml: &str) -> [Gateway; 2] {
    let servers = Stores::servers().await;
    [harness::gateway(yaml).await, harness::gateway(Setup::from(yaml).stores(&servers)).await]
}

async fn listed(client: &Client, query: &str) -> Value {
    client.get(&format!("/auth/sessions{query}")).await.json().await.expect("sessions come in JSON")
}

fn ids(list: &Value) -> Vec<String> {
    let sessions = list["sessions"].as_array().expect("a list").iter();
    sessions.map(|session| session["id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn the_oldest_idle_session_ends_for_one_more_than_there_may_be() {
    for gw in both_editions(THREE).await {
        let used = gw.register("alice").await;
        let [idle, third, fourth] = [(); 3].map(|()| gw.client("alice"));
        idle.login().await;
        third.login().await;
        used.refresh().await;

        fourth.login().await;

        assert_eq!(idle.get("/protected").await.reason(), Some("token_revoked"));
        let refresh = idle.request_without_token(Method::POST, "/auth/refresh");
        assert_eq!(idle.send(refresh).await.reason(), Some("refresh_invalid"));
        for client in [&used, &third, &fourth] {
            assert_eq!(client.get("/protected").await.status(), 200);
        }
        assert_eq!(ids(&listed(&used, "").await).len(), 3);
        let ended = |line: &Value| line["event"] == "session_ended" && line["target"] == "audit";
        gw.logged(ended).await;
    }
}

#[tokio::test]
async fn sessions_come_in_pages_to_their_owner_and_to_operators() {
    for gw in both_editions("").await {
        let (root, alice) = (gw.admin("root").await, gw.register("alice").await);
        for _ in 0..4 {
            gw.client("alice").login().await;
        }
        let all = listed(&alice, "").await;
        assert_eq!((ids(&all).len(), &all["next"]), (5, &Value::Null));

        let first = listed(&alice, "?limit=2").await;
        let next = first["next"].as_str().expect("there are more").to_owned();
        let second = listed(&alice, &format!("?limit=2&after={next}")).await;
        let next = second["next"].as_str().expect("there are more").to_owned();
        let last = listed(&alice, &format!("?limit=2&after={next}")).await;

        assert_eq!([ids(&first), ids(&second), ids(&last)].concat(), ids(&all));
        assert_eq!(last["next"], Value::Null);
        let current = |list: &Value| list["sessions"][0]["current"] == json!(true);
        assert!(current(&last), "it began first");
        for query in ["?limit=0", "?limit=501", "?limit=x", "?after=x", "?before=1"] {
            let refused = alice.get(&format!("/auth/sessions{query}")).await;
            assert_eq!((refused.status().as_u16(), refused.reason()), (400, Some("bad_request")), "{query}");
        }

        let path = format!("/api/users/alice/sessions?limit=3&after={}", ids(&all)[0]);
        let answer = gw.admin_request(Method::GET, &path).bearer_auth(root.token()).send().await;
        let page: Value = answer.expect("it answers").json().await.expect("sessions come in JSON");
        assert_eq!(ids(&page), ids(&all)[1..4]);
        assert_eq!(page["next"], json!(ids(&all)[3]));
        let output = gw.cli(&["session", "list", "alice", "--output", "json"]);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(String::from_utf8(output.stdout).expect("UTF-8").lines().count(), 5);
    }
}

/// A page is read before it is asked for again: ending sessions in between skips none.
#[tokio::test]
async fn a_page_goes_on_where_the_last_ended_though_its_session_is_gone() {
    let gw = harness::gateway("").await;
    let alice = gw.register("alice").await;
    let other = gw.client("alice");
    other.login().await;
    let first = listed(&alice, "?limit=1").await;
    let next = first["next"].as_str().expect("there are more").to_owned();

    other.logout().await;

    let rest = listed(&alice, &format!("?after={next}")).await;
    assert_eq!((ids(&rest).len(), &rest["sessions"][0]["current"]), (1, &json!(true)));
}

const MANY: usize = 2_000;

const THOUSANDS: &str = r#"
    tokens:
      issuer: http://localhost:8080
      audience: portcullis
      max_sessions: 2000
      keys: [{ id: k1, algorithm: HS256, secret: "${TOKEN_SECRET}" }]
"#;

/// Sessions of this account beside the gateway, which takes a password for each.
async fn start_sessions(gw: &Gateway, user: Uuid, how_many: usize) {
    let sessions: Arc<dyn Sessions> = match gw.stores().urls() {
        Some((_, url)) => Arc::new(RedisState::open(&url).expect("the URL is right")),
        None => Arc::new(SqliteState::open(&gw.home().join("data/state.db")).await.expect("it is there")),
    };
    let (start, hour) = (clock::now(), Duration::from_secs(3600));
    let session = || Session {
        id: Uuid::now_v7(),
        user_id: user,
        username: "alice".to_owned(),
        email: None,
        roles: vec!["user".to_owned()],
        version: 1,
        credentials: 1,
        amr: vec!["pwd".to_owned()],
        generation: 1,
        created_at: start,
        rotated_at: start,
        idle_until: start + hour,
        ends_at: start + hour,
        address: Some("192.0.2.7".parse().expect("an address")),
        user_agent: Some("curl/8".to_owned()),
        last_address: None,
        last_device: None,
    };
    let bound = Bound { most: 2_000, revoked_until: start + hour };
    for _ in 0..how_many {
        let started = sessions.start(&session(), bound).await.expect("the store answers");
        assert_eq!(started, Start::Started { ended: vec![] });
    }
}

#[tokio::test]
async fn two_thousand_sessions_are_listed_and_bounded() {
    for gw in both_editions(THOUSANDS).await {
        let alice = gw.register("alice").await;
        let id = alice.id().await.parse().expect("a UUID");
        start_sessions(&gw, id, MANY - 1).await;

        let first = listed(&alice, "").await;
        assert_eq!((ids(&first).len(), first["next"].is_string()), (50, true));
        let (mut all, mut next) = (Vec::new(), String::new());
        while all.len() <= MANY {
            let page = listed(&alice, &format!("?limit=500{next}")).await;
            all.extend(ids(&page));
            match page["next"].as_str() {
                Some(after) => next = format!("&after={after}"),
                None => break,
            }
        }
        assert_eq!(all.len(), MANY);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), MANY, "each once");
        let output = gw.cli(&["session", "list", "alice", "--output", "json"]);
        assert_eq!(String::from_utf8(output.stdout).expect("UTF-8").lines().count(), MANY);

        gw.client("alice").login().await;

        assert_eq!(alice.get("/protected").await.reason(), Some("token_revoked"), "the oldest idle one");
        let ended = gw.cli(&["session", "revoke", "--user", "alice", "--output", "json"]);
        assert!(String::from_utf8_lossy(&ended.stdout).contains("2000"), "{ended:?}");
    }
}
