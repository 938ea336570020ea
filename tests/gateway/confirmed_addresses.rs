//! Addresses that nobody confirmed are told to nobody, and a confirmed one counts until the next is confirmed.

use http::Method;
use serde_json::{Value, json};

use crate::email::{NEW_PASSWORD, Post, member, post, register};
use crate::forge;
use crate::harness::{self, Client, Echo, Gateway, PASSWORD, Reason as _, Setup, Stores};

const UPSTREAMS: &str = r#"
upstreams:
  forwarded: { servers: ["${UPSTREAM}"], assertion: true }
  remote: { servers: ["${UPSTREAM}"], identity: remote }
routes:
  - { host: remote.test, path: /echo, upstream: remote }
  - { path: /echo, upstream: forwarded }
"#;

async fn json_of(answer: reqwest::Response) -> Value {
    answer.json().await.expect("JSON")
}

async fn change(client: &Client, email: Value) -> Value {
    let change = json!({ "email": email, "password": PASSWORD });
    let changed = client.send(client.request(Method::PATCH, "/auth/me").json(&change)).await;
    assert_eq!(changed.status(), 200);
    json_of(changed).await
}

async fn new_key(client: &Client) -> String {
    let made =
        json_of(client.post("/auth/keys", &json!({ "name": "report", "password": PASSWORD })).await).await;
    made["key"].as_str().expect("a key").to_owned()
}

/// What both upstreams hear of this caller's address: two headers and the assertion.
async fn heard(gw: &Gateway, credential: &str) -> [Vec<String>; 3] {
    let client = gw.client("alice");
    client.set_token(Some(credential.to_owned()));
    let echo = Echo::of(client.get("/echo").await).await;
    let asserted = forge::decode(echo.fields("x-auth-assertion")[0], 1);
    let asserted = asserted["email"].as_str().map(str::to_owned);
    let remote = client.request(Method::GET, "/echo").header("host", "remote.test");
    let remote = Echo::of(client.send(remote).await).await;
    let texts = |values: Vec<&str>| values.into_iter().map(str::to_owned).collect();
    [
        texts(echo.fields("x-forwarded-email")),
        texts(remote.fields("remote-email")),
        asserted.into_iter().collect(),
    ]
}

/// Upstreams hear this of the bearer and of the key, and so do readers of the token and of one that the command line
/// mints.
async fn assert_told(gw: &Gateway, alice: &Client, key: &str, email: Option<&str>) {
    let expected: Vec<String> = email.map(str::to_owned).into_iter().collect();
    let minted = gw.cli(&["token", "mint", "alice", "--ttl", "60"]);
    let minted = String::from_utf8(minted.stdout).expect("UTF-8").trim().to_owned();
    for credential in [alice.token(), minted.clone(), key.to_owned()] {
        assert_eq!(heard(gw, &credential).await, [(); 3].map(|()| expected.clone()), "{credential}");
    }
    for token in [alice.token(), minted] {
        assert_eq!(forge::decode(&token, 1)["email"], json!(email), "the claim");
    }
}

#[tokio::test]
async fn an_address_that_nobody_confirmed_leaves_the_gateway_nowhere() {
    for post_office in Post::both_with("", UPSTREAMS).await {
        let gw = &post_office.gw;
        let alice = member(gw, "alice", "ceo@bigcorp.example").await;
        let key = new_key(&alice).await;

        assert_told(gw, &alice, &key, None).await;
        alice.refresh().await;
        assert_told(gw, &alice, &key, None).await;
        let me = json_of(alice.get("/auth/me").await).await;
        assert_eq!((&me["email"], &me["email_verified"]), (&json!("ceo@bigcorp.example"), &json!(false)));

        post_office.confirm(0).await;
        alice.refresh().await;
        assert_told(gw, &alice, &new_key(&alice).await, Some("ceo@bigcorp.example")).await;
    }
}

#[tokio::test]
async fn a_confirmed_address_counts_until_the_next_one_is_confirmed() {
    let auth = "  require_verified_email: true\n  email: { notices: false }\n";
    for post_office in Post::both_with(auth, UPSTREAMS).await {
        let gw = &post_office.gw;
        assert_eq!(register(gw, "alice", "a@example.org").await.status(), 201);
        post_office.confirm(0).await;
        let alice = gw.client("alice");
        alice.login().await;
        let key = new_key(&alice).await;

        let changed = change(&alice, json!("ceo@bigcorp.example")).await;
        assert_eq!(
            (&changed["email"], &changed["email_verified"], &changed["pending_email"]),
            (&json!("a@example.org"), &json!(true), &json!("ceo@bigcorp.example")),
        );
        alice.login().await;
        assert_told(gw, &alice, &key, Some("a@example.org")).await;

        let late = gw.client("alice");
        late.set_token(Some(alice.token()));
        post_office.confirm_address("ceo@bigcorp.example").await;
        let late = late.get("/echo").await;
        assert_eq!(late.reason(), Some("token_stale"), "no token goes on telling the former address");
        alice.refresh().await;
        assert_told(gw, &alice, &key, Some("ceo@bigcorp.example")).await;

        let removed = change(&alice, Value::Null).await;
        assert_eq!((&removed["email"], &removed["pending_email"]), (&Value::Null, &Value::Null));
        alice.login().await;
        assert_told(gw, &alice, &key, None).await;
    }
}

#[tokio::test]
async fn a_pending_address_is_given_up_by_naming_the_confirmed_one() {
    for post_office in Post::both("  email: { notices: false }\n").await {
        let gw = &post_office.gw;
        let alice = member(gw, "alice", "a@example.org").await;
        post_office.confirm(0).await;

        assert_eq!(change(&alice, json!("typo@example.org")).await["pending_email"], "typo@example.org");
        let typo = json!({ "token": post_office.token(1).await });
        alice.login().await;
        let renamed = alice
            .request(Method::PATCH, "/auth/me")
            .json(&json!({ "username": "Alice", "password": PASSWORD }));
        let renamed = json_of(alice.send(renamed).await).await;
        assert_eq!(renamed["pending_email"], "typo@example.org", "another name leaves it");
        alice.login().await;
        assert_eq!(change(&alice, json!("a@example.org")).await["pending_email"], Value::Null);

        let stranger = post(gw, "/auth/email/verify", typo).await;
        assert_eq!(stranger.reason(), Some("one_time_token_invalid"));
        alice.login().await;
        let me = json_of(alice.get("/auth/me").await).await;
        assert_eq!((&me["email"], &me["email_verified"]), (&json!("a@example.org"), &json!(true)));
    }
}

#[tokio::test]
async fn a_password_is_reset_through_a_confirmed_address_only() {
    for post_office in Post::both("  email: { notices: false }\n").await {
        let gw = &post_office.gw;
        let forgot = async |email: &str| {
            let asked = post(gw, "/auth/password/forgot", json!({ "email": email })).await;
            assert_eq!(asked.status(), 202, "{email}");
        };
        let alice = member(gw, "alice", "a@example.org").await;
        forgot("a@example.org").await;
        post_office.confirm(0).await;
        change(&alice, json!("b@example.org")).await;
        post_office.token(1).await;
        forgot("b@example.org").await;
        forgot("A@example.org").await;

        let reset = post_office.token(2).await;

        let mails = post_office.mails();
        let to = |mail: &String| mail.lines().find(|line| line.starts_with("To: ")).map(str::to_owned);
        let addressees: Vec<_> = mails.iter().filter_map(to).collect();
        assert_eq!(addressees, ["To: a@example.org", "To: b@example.org", "To: a@example.org"]);
        let done = crate::email::reset(gw, &reset, NEW_PASSWORD).await;
        assert_eq!(done.status(), 204);
    }
}

#[tokio::test]
async fn where_no_mail_is_sent_only_the_addresses_that_operators_answer_for_are_told() {
    let gw = harness::gateway(Setup::from(UPSTREAMS).stores(&Stores::servers().await)).await;
    let told = async |username: &str| {
        let client = gw.client(username);
        client.login().await;
        let echo = Echo::of(client.get("/echo").await).await;
        echo.fields("x-forwarded-email").into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(register(&gw, "alice", "alice@example.org").await.status(), 201);
    for (name, arguments) in [("bob", &["--confirmed"][..]), ("carol", &[])] {
        let email = format!("{name}@example.org");
        let output = gw.cli(&[&["user", "add", name, "--email", &email], arguments].concat());
        assert!(output.status.success(), "{output:?}");
    }

    assert_eq!(told("alice").await, [] as [String; 0]);
    assert_eq!(told("bob").await, ["bob@example.org"]);
    assert_eq!(told("carol").await, [] as [String; 0]);
}

#[tokio::test]
async fn an_import_confirms_the_addresses_that_it_says_were_confirmed() {
    let hash = "$2b$05$Kcst30rdEJZ4lKuuktTbc.VE8lw2iKwlbyJ7wlcwTXR.oKkyAgZBK";
    let csv = format!(
        "username,password_hash,email,email_verified\nann,{hash},ann@x.org,true\nben,{hash},ben@x.org,\ncy,{hash},,true\n"
    );
    let lines =
        [json!({ "username": "dee", "email_verified": true }), json!({ "username": "eve" })].map(|row| {
            let email = format!("{}@x.org", row["username"].as_str().expect("a text"));
            forge::with(forge::with(row, "password_hash", hash), "email", email).to_string()
        });
    for stores in [Stores::Embedded, Stores::servers().await] {
        let gw = harness::gateway(Setup::default().stores(&stores)).await;
        for (name, content) in [("users.csv", csv.clone()), ("users.jsonl", lines.join("\n"))] {
            std::fs::write(gw.home().join(name), content).expect("its own folder");
            let output = gw.cli(&["user", "import", name]);
            assert!(output.status.success(), "{output:?}");
        }

        for (name, is_confirmed) in
            [("ann", true), ("ben", false), ("cy", false), ("dee", true), ("eve", false)]
        {
            let output = gw.cli(&["user", "show", name, "--output", "json"]);
            let shown: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            assert_eq!(shown["email_verified"], json!(is_confirmed), "{shown}");
        }
    }
}

#[tokio::test]
async fn who_was_there_before_addresses_had_to_be_confirmed_is_not_locked_out() {
    for post_office in Post::both_with("", UPSTREAMS).await {
        let gw = &post_office.gw;
        assert_eq!(register(gw, "alice", "a@example.org").await.status(), 201);
        gw.register("bob").await;
        let rule = "auth: { registration: open, limits: off, require_verified_email: true }\n";
        assert_eq!(gw.reload(post_office.setup(rule, UPSTREAMS)).await, harness::Reload::InForce);
        assert_eq!(register(gw, "carol", "c@example.org").await.status(), 201);

        // They may sign in, and their addresses are told to nobody.
        for name in ["alice", "bob"] {
            let client = gw.client(name);
            client.login().await;
            assert_eq!(heard(gw, &client.token()).await, [(); 3].map(|()| Vec::<String>::new()), "{name}");
        }
        let credentials = json!({ "username": "carol", "password": PASSWORD });
        let refused = post(gw, "/auth/login", credentials.clone()).await;
        assert_eq!((refused.status().as_u16(), refused.reason()), (403, Some("email_not_verified")));

        for (name, email) in [("alice", "a@example.org"), ("carol", "c@example.org")] {
            post_office.confirm_address(email).await;
            let client = gw.client(name);
            client.login().await;
            assert_eq!(heard(gw, &client.token()).await, [(); 3].map(|()| vec![email.to_owned()]), "{name}");
        }
        // Once it was confirmed, nothing that happens to the address locks anybody out.
        let carol = gw.client("carol");
        carol.login().await;
        change(&carol, Value::Null).await;
        carol.login().await;
        change(&carol, json!("d@example.org")).await;
        assert_eq!(post(gw, "/auth/login", credentials).await.status(), 200);
    }
}
