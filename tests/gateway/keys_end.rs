//! What ends every session of an account ends its API keys, unless somebody says that they go on; and what operators
//! see of keys and do to them.

use http::Method;
use serde_json::{Value, json};

use crate::api_keys::{made, reason, text};
use crate::email::{NEW_PASSWORD, Post, member, post, reset, token_of};
use crate::harness::{self, Client, Gateway, PASSWORD, Reason as _, Reload, Setup, Stores, eventually};
use crate::second_factor::enrol;

/// Who ends sessions, and by what.
#[derive(Debug, Clone, Copy)]
enum By {
    NewPassword,
    Logout,
    Command(&'static [&'static str]),
    Api(Method2, &'static str),
}

/// Methods of `http` are no constants.
#[derive(Debug, Clone, Copy)]
enum Method2 {
    Post,
    Put,
    Delete,
}

const WAYS: [By; 8] = [
    By::NewPassword,
    By::Logout,
    By::Command(&["user", "set-password", "NAME"]),
    By::Command(&["user", "reset-mfa", "NAME"]),
    By::Command(&["session", "revoke", "--user", "NAME"]),
    By::Api(Method2::Put, "/api/users/NAME/password"),
    By::Api(Method2::Delete, "/api/users/NAME/mfa"),
    By::Api(Method2::Delete, "/api/users/NAME/sessions"),
];

impl By {
    fn needs_factor(self) -> bool {
        matches!(self, Self::Command(["user", "reset-mfa", ..]) | Self::Api(_, "/api/users/NAME/mfa"))
    }

    async fn act(self, gw: &Gateway, root: &Client, client: &Client, name: &str, keep: bool) {
        match self {
            Self::NewPassword => {
                let mut body = json!({ "old_password": PASSWORD, "new_password": NEW_PASSWORD });
                if keep {
                    body["keep_keys"] = true.into();
                }
                assert_eq!(client.post("/auth/password", &body).await.status(), 200);
            }
            Self::Logout => {
                let path =
                    if keep { "/auth/logout?all=true&keep_keys=true" } else { "/auth/logout?all=true" };
                assert_eq!(client.post(path, &json!({})).await.status(), 204);
            }
            Self::Command(words) => {
                let mut words: Vec<&str> =
                    words.iter().map(|word| if *word == "NAME" { name } else { *word }).collect();
                words.extend(keep.then_some("--keep-keys"));
                let output = gw.cli(&words);
                assert!(output.status.success(), "{output:?}");
            }
            Self::Api(method, path) => {
                let path = path.replace("NAME", name);
                let request = match method {
                    Method2::Put if path.ends_with("/email") => {
                        let body = json!({ "email": "other@example.org", "email_verified": true, "keep_keys": keep });
                        gw.admin_request(Method::PUT, &path).json(&body)
                    }
                    Method2::Put => gw
                        .admin_request(Method::PUT, &path)
                        .json(&json!({ "password": NEW_PASSWORD, "keep_keys": keep })),
                    Method2::Post => gw.admin_request(Method::POST, &format!("{path}?keep_keys={keep}")),
                    Method2::Delete => gw.admin_request(Method::DELETE, &format!("{path}?keep_keys={keep}")),
                };
                let answer = request.bearer_auth(root.token()).send().await.expect("the admin port answers");
                assert!(answer.status().is_success(), "{path}: {answer:?}");
            }
        }
    }
}

/// Both gateways have seen the key by then, and remember it.
async fn known_key(gateways: [&Gateway; 2], client: &Client) -> String {
    known_key_by(gateways, client, PASSWORD).await
}

async fn known_key_by(gateways: [&Gateway; 2], client: &Client, password: &str) -> String {
    let made = client.post("/auth/keys", &json!({ "name": "k", "password": password })).await;
    let key = text(&made.json::<Value>().await.expect("it answers in JSON")).to_owned();
    for gw in gateways {
        assert_eq!(reason(gw, &key).await, None);
    }
    key
}

#[tokio::test]
async fn api_keys_end_with_every_session_at_every_gateway_unless_they_are_kept() {
    let servers = Stores::servers().await;
    let on_servers = || Setup::default().stores(&servers);
    let embedded = harness::gateway("").await;
    let (one, other) = (harness::gateway(on_servers()).await, harness::gateway(on_servers()).await);
    for gateways in [[&embedded, &embedded], [&one, &other]] {
        let [here, there] = gateways;
        let root = here.admin("root").await;
        for (number, by) in WAYS.into_iter().enumerate() {
            for keep in [false, true] {
                let name = format!("u{number}{keep}");
                let client = here.register(&name).await;
                let key = known_key(gateways, &client).await;
                if by.needs_factor() {
                    enrol(&client).await;
                }

                by.act(here, &root, &client, &name, keep).await;

                let what = format!("{by:?}, kept: {keep}");
                if keep {
                    assert_eq!(reason(here, &key).await, None, "{what}");
                    assert_eq!(reason(there, &key).await, None, "{what}");
                    continue;
                }
                // What a command does comes to the gateway by the stream.
                let end = eventually(&what, async || reason(here, &key).await).await;
                assert!(["token_revoked", "token_invalid"].contains(&end.as_str()), "{what}: {end}");
                eventually(&what, async || reason(there, &key).await).await;
                let listed = here.cli(&["key", "list", &name]);
                assert_eq!(String::from_utf8_lossy(&listed.stdout), "", "{what}");
            }
        }
        let audited = here.cli(&["audit", "list", "--event", "keys_ended", "--output", "json"]);
        let audited = String::from_utf8_lossy(&audited.stdout).lines().count();
        assert_eq!(audited, WAYS.len(), "one record for each account whose keys ended");
    }
}

/// Of the mail for a new password with this number.
async fn reset_token(post_office: &Post, number: usize) -> String {
    eventually("a mail for a new password", async || {
        let mut mails = post_office.mails();
        mails.retain(|mail| mail.contains("Subject: Reset your password"));
        mails.get(number).map(|mail| token_of(mail))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_registers_a_victims_address_keeps_no_key_to_the_account() {
    for post_office in Post::both("").await {
        let gw = &post_office.gw;
        let attacker = member(gw, "alice", "victim@example.org").await;
        let before = known_key([gw, gw], &attacker).await;

        let confirmation = json!({ "token": post_office.token(0).await });
        assert_eq!(post(gw, "/auth/email/verify", confirmation).await.status(), 204);
        assert!(reason(gw, &before).await.is_some(), "the address was confirmed by somebody else");

        let later = known_key([gw, gw], &attacker).await;
        post(gw, "/auth/password/forgot", json!({ "email": "victim@example.org" })).await;
        let token = reset_token(&post_office, 0).await;
        assert_eq!(reset(gw, &token, NEW_PASSWORD).await.status(), 204);
        assert!(reason(gw, &later).await.is_some(), "the password was reset by mail");

        let victim = gw.client("alice");
        let credentials = json!({ "username": "alice", "password": NEW_PASSWORD });
        let granted: Value = victim.post("/auth/login", &credentials).await.json().await.expect("tokens");
        victim.set_token(granted["access_token"].as_str().map(str::to_owned));
        let own = known_key_by([gw, gw], &victim, NEW_PASSWORD).await;
        post(gw, "/auth/password/forgot", json!({ "email": "victim@example.org" })).await;
        let body = json!({
            "token": reset_token(&post_office, 1).await, "new_password": PASSWORD, "keep_keys": true
        });
        assert_eq!(post(gw, "/auth/password/reset", body).await.status(), 204);
        assert_eq!(reason(gw, &own).await, None, "the owner said that it goes on");
    }
}

/// An operator who confirms an address answers for it, and not for who made keys before.
#[tokio::test]
async fn keys_from_before_the_first_address_that_an_operator_confirms_end_unless_they_are_kept() {
    let servers = Stores::servers().await;
    for gw in [harness::gateway("").await, harness::gateway(Setup::default().stores(&servers)).await] {
        let root = gw.admin("root").await;
        for (number, by) in CONFIRMING.into_iter().enumerate() {
            for keep in [false, true] {
                let name = format!("u{number}{keep}");
                let client = member(&gw, &name, &format!("{name}@example.org")).await;
                let key = known_key([&gw, &gw], &client).await;
                let what = format!("{by:?}, kept: {keep}");

                by.act(&gw, &root, &client, &name, keep).await;

                if keep {
                    assert_eq!(reason(&gw, &key).await, None, "{what}");
                    continue;
                }
                eventually(&what, async || reason(&gw, &key).await).await;
                client.login().await;
                let later = known_key([&gw, &gw], &client).await;
                by.act(&gw, &root, &client, &name, keep).await;
                assert_eq!(reason(&gw, &later).await, None, "{what}: it isn't the first address any more");
            }
        }
    }
}

const CONFIRMING: [By; 4] = [
    By::Command(&["user", "confirm-email", "NAME"]),
    By::Command(&["user", "set-email", "NAME", "other@example.org", "--confirmed"]),
    By::Api(Method2::Post, "/api/users/NAME/confirm-email"),
    By::Api(Method2::Put, "/api/users/NAME/email"),
];

#[tokio::test]
async fn operators_see_every_key_and_end_it() {
    let servers = Stores::servers().await;
    for gw in [harness::gateway("").await, harness::gateway(Setup::default().stores(&servers)).await] {
        let root = gw.admin("root").await;
        let (alice, bob) = (gw.register("alice").await, gw.register("bob").await);
        let mut keys = Vec::new();
        for name in ["first", "second", "third"] {
            keys.push(made(&alice, json!({ "name": name })).await);
        }
        let of_bob = made(&bob, json!({ "name": "bob's" })).await;
        let api = async |method: Method, path: &str| {
            let request = gw.admin_request(method, path).bearer_auth(root.token());
            let answer = request.send().await.expect("the admin port answers");
            let status = answer.status().as_u16();
            (status, answer.json::<Value>().await.unwrap_or_default())
        };
        let lines = |arguments: &[&str]| {
            let output = gw.cli(&[&["key"], arguments].concat());
            (output.status.success(), String::from_utf8_lossy(&output.stdout).lines().count())
        };

        let (_, listed) = api(Method::GET, "/api/users/alice/keys").await;
        let names: Vec<&Value> =
            listed["keys"].as_array().expect("keys").iter().map(|key| &key["name"]).collect();
        assert_eq!(names, ["first", "second", "third"]);
        assert_eq!(
            (&listed["keys"][0]["username"], &listed["keys"][0]["roles"]),
            (&json!("alice"), &json!(["user"]))
        );
        assert!(
            !listed.to_string().contains(text(&keys[0])) && !listed.to_string().contains("hash"),
            "{listed}"
        );
        let (_, page) = api(Method::GET, "/api/keys?limit=3").await;
        let next = page["next"].as_str().expect("there is more");
        let (_, rest) = api(Method::GET, &format!("/api/keys?limit=3&after={next}")).await;
        assert_eq!(
            (page["keys"].as_array().map(Vec::len), rest["keys"].as_array().map(Vec::len)),
            (Some(3), Some(1))
        );
        assert_eq!(
            (&rest["next"], lines(&["list", "--all"]), lines(&["list", "bob"])),
            (&Value::Null, (true, 4), (true, 1))
        );

        let id = |key: &Value| key["id"].as_str().expect("an id").to_owned();
        assert_eq!(api(Method::DELETE, &format!("/api/keys/{}", id(&keys[0]))).await.0, 204);
        assert!(reason(&gw, text(&keys[0])).await.is_some());
        assert_eq!(api(Method::DELETE, &format!("/api/keys/{}", id(&keys[0]))).await.0, 404);
        assert_eq!(lines(&["revoke", &id(&keys[1])]), (true, 1));
        eventually("its end", async || reason(&gw, text(&keys[1])).await).await;
        assert_eq!(lines(&["revoke", &id(&keys[1])]), (false, 0));
        assert_eq!(lines(&["revoke", text(&of_bob)]), (true, 1), "by the key itself");
        assert_eq!(reason(&gw, text(&keys[2])).await, None, "nobody ended this one");
        let (_, ended) = api(Method::DELETE, "/api/users/alice/keys").await;
        assert_eq!(ended, json!({ "ended": 1 }));
        assert!(reason(&gw, text(&keys[2])).await.is_some());
        let (_, audited) = api(Method::GET, "/api/audit?event=key_deleted").await;
        assert_eq!(audited["records"].as_array().map(Vec::len), Some(3));
        let request = gw.admin_request(Method::GET, "/api/keys").bearer_auth(alice.token());
        assert_eq!(request.send().await.expect("it answers").reason(), Some("role_missing"));
    }
}

async fn refused_as_too_long(client: &Client, end: portcullis::clock::Timestamp) -> (u16, Option<String>) {
    let answer = client.post("/auth/keys", &json!({ "name": "k", "expires_at": end })).await;
    (answer.status().as_u16(), answer.reason().map(str::to_owned))
}

const AUTH: &str = "auth: { registration: open, limits: off";

#[tokio::test]
async fn keys_that_are_turned_off_are_neither_made_nor_good() {
    let gw = harness::gateway("").await;
    let alice = gw.register("alice").await;
    let key = text(&made(&alice, json!({ "name": "k" })).await).to_owned();
    assert_eq!(reason(&gw, &key).await, None);

    assert_eq!(gw.reload(format!("{AUTH}, keys: {{ enabled: false }} }}").as_str()).await, Reload::InForce);
    assert_eq!(reason(&gw, &key).await.as_deref(), Some("token_invalid"));
    let refused = alice.post("/auth/keys", &json!({ "name": "k" })).await;
    assert_eq!((refused.status().as_u16(), refused.reason()), (404, Some("not_found")));
    assert_eq!(alice.get("/auth/keys").await.reason(), Some("not_found"));
    assert_eq!(gw.reload("").await, Reload::InForce);
    assert_eq!(reason(&gw, &key).await, None);
}

#[tokio::test]
async fn no_key_lives_longer_than_the_longest_life() {
    let gw = harness::gateway(format!("{AUTH}, keys: {{ max_ttl: 1h }} }}").as_str()).await;
    let alice = gw.register("alice").await;
    let now = portcullis::clock::now();
    let (sooner, later) =
        (now + std::time::Duration::from_secs(600), now + std::time::Duration::from_secs(7200));

    let own = made(&alice, json!({ "name": "k", "expires_at": sooner })).await;
    let silent = made(&alice, json!({ "name": "k" })).await;
    let end =
        |key: &Value| key["expires_at"].as_str().expect("an end").parse::<portcullis::clock::Timestamp>();
    assert!(end(&own).expect("a time") <= sooner);
    let silent_end = end(&silent).expect("a time");
    assert!(silent_end > sooner && silent_end < later, "{silent_end}");
    assert_eq!(refused_as_too_long(&alice, later).await, (400, Some("bad_request".to_owned())));

    let key = text(&silent).to_owned();
    assert_eq!(reason(&gw, &key).await, None);
    assert_eq!(gw.reload(format!("{AUTH}, keys: {{ max_ttl: 1s }} }}").as_str()).await, Reload::InForce);
    let ended = eventually("the end of a key that exists", async || reason(&gw, &key).await).await;
    assert_eq!(ended, "token_expired");
}
