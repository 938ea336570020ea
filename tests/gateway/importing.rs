//! Accounts of other programs: `portcullis user import`, on either edition.

use std::fs;
use std::process::Output;

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, SqliteConnection};

use crate::harness::{self, Echo, Gateway, PASSWORD, Reason as _, Setup, Stores};
use crate::second_factor::{App, second_step};

const IMPORTED: &str = "correct horse battery";

/// Of [`IMPORTED`], by the programs of their makers.
const HASHES: &[(&str, &str)] = &[
    ("bcrypt_a", "$2a$05$PUJYxwkDhOFYqvMjJCgt/ONX/Vc952/LFJUtnVuSRafCMnI6x.9XS"),
    ("bcrypt_b", "$2b$05$Kcst30rdEJZ4lKuuktTbc.VE8lw2iKwlbyJ7wlcwTXR.oKkyAgZBK"),
    ("bcrypt_y", "$2y$05$SrhASD5MVNJYEnV.UohAK.Ih.EMcuUilgtyn37629tR72z47kvsm6"),
    ("passlib_256", "$pbkdf2-sha256$1000$bG0NwZgTopTSuhdizBmDcA$W2XkNsAvkm4OOwD1/SGNaRzUqxHLMmtaqi3F2M2Lau8"),
    (
        "passlib_512",
        "$pbkdf2-sha512$1000$/V9rDWHMubdWSinFuNc6xw$xrUX6ErzWfJchtOK1CNTEktKJ1UN9yzSw9ImNauJBByG8fOSHoYE.8adpJ92pBIZpiGQLRm0sA.erSUkbQrOuw",
    ),
    (
        "passlib_scrypt",
        "$scrypt$ln=8,r=8,p=1$w/ifs3bu3btXSqn1vldKqQ$1Ggk4lryWxHRyXbssFJ7dyxuSaUYggo+1nXPIePI++Y",
    ),
    (
        "werkzeug_256",
        "pbkdf2:sha256:1000$K8x9A6YMT3b4esmc$73ad00ee7e44a5f625e275706fb4d1f55ea86473161cfa8ccfcb0bc2a242e14b",
    ),
    (
        "werkzeug_512",
        "pbkdf2:sha512:1000$eVhAQXAkIZnr91en$37d3ee8b4c7e6a15afe5ed62f6d3eeee468f038a471e46e09b1aabb2116b3a80187f336251a8d232366faeb3800d261d91e81ec8d112a23ac9d49613aad39b74",
    ),
    (
        "werkzeug_scrypt",
        "scrypt:1024:8:1$NjOjkQ0SgN11NcHA$215699582f12c1791a0cc6d56af40eb2bb3638a721327a91ceb33a2b9a015590930bd0660a6806dfc014243bf49b8777857cf141b8bcac35a5a3d901091429ce",
    ),
    ("django", "pbkdf2_sha256$1000$seasalt2$/AgPzJG5e6Yv25JIyxyWfNnB6QXmfp0Y+BEGfC3zoJE="),
    (
        "phc_256",
        "$pbkdf2-sha256$i=1000,l=32$yMnKy8zNzs/Q0dLT1NXW1w$f7QmfEsrJ+6B1wS+aSt9ihj2PkMFNH0fXQqzfxKqycQ",
    ),
    (
        "phc_512",
        "$pbkdf2-sha512$i=1000,l=32$yMnKy8zNzs/Q0dLT1NXW1w$LUjErv9BACMii6bJOrvqgQd17MC/TMZTRZ/Vr/LWRVg",
    ),
    (
        "argon_i",
        "$argon2i$v=19$m=64,t=1,p=1$sRWnxW08TH4HDY3RLzrolA$mQcVLJY5SnLUfKyXOrnrJ15VWqpoLO+cq5vZ8IsTXpw",
    ),
    (
        "argon_d",
        "$argon2d$v=19$m=64,t=1,p=1$jmkNfCSwbOqsVXAx0Dp1TA$kYqUSU6GAycyb/yzTZWYNlUGuYC3GhB41chrgIldf1Y",
    ),
    (
        "argon_id",
        "$argon2id$v=19$m=64,t=1,p=1$YoMYWyibmUlq974iIclUbw$t/K7BZ6is/ECPSctv8YLLVCdM3l+NQ0qtE1StrZngqc",
    ),
];

async fn both_editions() -> [Gateway; 2] {
    let servers = Stores::servers().await;
    [harness::gateway("").await, harness::gateway(Setup::default().stores(&servers)).await]
}

fn import(gw: &Gateway, file: &str, content: &str, options: &[&str]) -> Output {
    let path = gw.home().join(file);
    fs::write(&path, content).expect("the folder is there");
    let path = path.to_str().expect("UTF-8");
    gw.cli(&[&["user", "import", path], options, &["--output", "json"]].concat())
}

fn printed(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("a document on each line")).collect()
}

/// The lines of the problems, and the last document.
fn summary(output: &Output) -> (Vec<u64>, Value) {
    let mut printed = printed(output);
    let last = printed.pop().expect("it always says how many");
    (printed.iter().map(|problem| problem["line"].as_u64().expect("a line")).collect(), last)
}

fn usernames(gw: &Gateway) -> Vec<String> {
    let listed = printed(&gw.cli(&["user", "list", "--output", "json"]));
    listed.iter().map(|user| user["username"].as_str().expect("a name").to_owned()).collect()
}

async fn stored_hash(gw: &Gateway, username: &str) -> String {
    let select = "SELECT password_hash FROM users WHERE username = $1";
    let found = match gw.stores().urls() {
        Some((database_url, _)) => {
            let mut database = PgConnection::connect(&database_url).await.expect("it runs");
            sqlx::query_scalar(select).bind(username).fetch_one(&mut database).await
        }
        None => {
            let file = format!("sqlite://{}", gw.home().join("data/portcullis.db").display());
            let mut database = SqliteConnection::connect(&file).await.expect("it is there");
            sqlx::query_scalar(select).bind(username).fetch_one(&mut database).await
        }
    };
    found.expect("the account is there")
}

async fn login(gw: &Gateway, username: &str, password: &str) -> reqwest::Response {
    gw.anonymous().post("/auth/login", &json!({ "username": username, "password": password })).await
}

#[tokio::test]
async fn every_kind_of_hash_logs_in_and_is_argon2id_from_then_on() {
    for gw in both_editions().await {
        let rows: Vec<_> = HASHES
            .iter()
            .map(|(name, hash)| format!("{name},\"{hash}\",{name}@example.com,user editor"))
            .collect();
        let csv = format!("username,password_hash,email,roles\n{}\n", rows.join("\n"));

        let output = import(&gw, "users.csv", &csv, &[]);

        assert!(output.status.success(), "{output:?}");
        assert_eq!(summary(&output), (vec![], json!({ "good": 15, "bad": 0, "imported": 15 })));
        for (name, hash) in HASHES {
            assert_eq!(stored_hash(&gw, name).await, *hash);
            assert_eq!(login(&gw, name, "correct horse").await.reason(), Some("bad_credentials"), "{name}");
            assert_eq!(stored_hash(&gw, name).await, *hash, "only a good login upgrades");
            assert_eq!(login(&gw, name, IMPORTED).await.status(), 200, "{name}");
            let upgraded = stored_hash(&gw, name).await;
            assert!(upgraded.starts_with("$argon2id$v=19$") && upgraded != *hash, "{name}: {upgraded}");
            assert_eq!(login(&gw, name, IMPORTED).await.status(), 200, "{name}");
        }
        let arguments = ["audit", "list", "--event", "imported", "--output", "json"];
        let audited = printed(&gw.cli(&arguments));
        assert_eq!(audited.len(), HASHES.len());
        assert_eq!(audited[0]["reason"], json!("user,editor"));
        let shown = &printed(&gw.cli(&["user", "show", "django", "--output", "json"]))[0];
        assert_eq!(
            (&shown["roles"], &shown["email"]),
            (&json!(["user", "editor"]), &json!("django@example.com"))
        );
    }
}

#[tokio::test]
async fn one_bad_row_keeps_the_whole_file_out_unless_it_is_skipped() {
    for gw in both_editions().await {
        gw.register("alice").await;
        let hash = HASHES[0].1;
        let hostile = "$2b$31$L2tMaEW7e5rMLiCabQj0petZbR744kAdel1fd5mAmx.JWkzpFUmBm";
        let lines = [
            json!({ "username": "bob", "password_hash": hash }).to_string(),
            json!({ "username": "ALICE", "password_hash": hash }).to_string(),
            String::new(),
            json!({ "username": "Bob", "password_hash": hash }).to_string(),
            json!({ "username": "carol", "password_hash": "plain text" }).to_string(),
            json!({ "username": "dave", "password_hash": hostile }).to_string(),
            "{ not json".to_owned(),
            json!({ "username": "erin", "password_hash": hash, "rolls": [] }).to_string(),
            json!({ "username": "f f", "password_hash": hash, "email": "f", "roles": ["Big"] }).to_string(),
            json!({ "username": "grace", "password_hash": hash, "disabled": true, "roles": [] }).to_string(),
        ]
        .join("\n");
        let bad = vec![2, 4, 5, 6, 7, 8, 9];

        let dry = import(&gw, "users.jsonl", &lines, &["--dry-run"]);
        let refused = import(&gw, "users.jsonl", &lines, &[]);
        for output in [&dry, &refused] {
            assert_eq!(output.status.code(), Some(1));
            assert_eq!(summary(output), (bad.clone(), json!({ "good": 2, "bad": 7, "imported": 0 })));
        }
        let problems = printed(&refused);
        for (at, words) in [
            (0, &["taken"][..]),
            (1, &["line 1"]),
            (2, &["known forms"]),
            (3, &["more work"]),
            (4, &["column 3"]),
            (5, &["unknown field `rolls`"]),
            (6, &["username", "email", "Big"]),
        ] {
            let problem = problems[at]["problem"].as_str().expect("a text");
            assert!(words.iter().all(|word| problem.contains(word)), "{words:?}: {problem}");
        }
        let all = String::from_utf8_lossy(&refused.stdout);
        assert!(!all.contains("plain text") && !all.contains(hostile), "no hash is printed");
        assert_eq!(usernames(&gw), ["alice"], "nothing was written");
        let dry = import(&gw, "users.jsonl", &lines, &["--dry-run", "--skip-bad"]);
        assert_eq!((dry.status.code(), usernames(&gw)), (Some(0), vec!["alice".to_owned()]));

        let skipped = import(&gw, "users.jsonl", &lines, &["--skip-bad"]);

        assert_eq!(skipped.status.code(), Some(0), "{skipped:?}");
        assert_eq!(summary(&skipped), (bad, json!({ "good": 2, "bad": 7, "imported": 2 })));
        assert_eq!(usernames(&gw), ["alice", "bob", "grace"]);
        assert_eq!(login(&gw, "bob", IMPORTED).await.status(), 200);
        assert_eq!(login(&gw, "grace", IMPORTED).await.reason(), Some("account_disabled"));
        let again = import(&gw, "users.jsonl", &lines, &["--skip-bad"]);
        assert_eq!(summary(&again).1, json!({ "good": 0, "bad": 9, "imported": 0 }));
    }
}

#[tokio::test]
async fn a_csv_file_is_read_line_by_line_and_refused_without_its_columns() {
    let gw = harness::gateway("").await;
    let hash = HASHES[0].1;
    let csv = format!(
        "\u{feff}username,disabled,password_hash\r\nann,,{hash}\r\n\r\nbea,perhaps,{hash}\r\ncy,true\r\ndee,false,\r\n"
    );

    let output = import(&gw, "users.csv", &csv, &["--skip-bad"]);

    assert_eq!(summary(&output), (vec![4, 5, 6], json!({ "good": 1, "bad": 3, "imported": 1 })));
    assert_eq!(usernames(&gw), ["ann"]);
    for (content, words) in [
        ("", "empty"),
        ("username,email\nbob,\n", "lacks password_hash"),
        ("username,password_hash,password\n", "\"password\""),
        ("username,password_hash,username\n", "twice"),
    ] {
        let output = import(&gw, "users.csv", content, &[]);
        assert_eq!(output.status.code(), Some(1), "{content}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(words), "{output:?}");
    }
    let missing = gw.cli(&["user", "import", "nowhere.csv"]);
    assert_eq!(missing.status.code(), Some(1));
}

#[tokio::test]
async fn ids_and_second_factors_of_another_program_go_on() {
    const ID: &str = "7f9c24e8-3b12-4fef-91e0-56a2d5a1b3c4";
    const SECRET: &str = "gezd gnbv gy3t qojq gezd gnbv gy3t qojq";
    for gw in both_editions().await {
        let hash = HASHES[0].1;
        let lines = [
            json!({ "username": "alice", "password_hash": hash, "id": ID, "totp_secret": SECRET }),
            json!({ "username": "bob", "password_hash": hash }),
        ];
        let lines = lines.map(|line| line.to_string()).join("\n");

        let output = import(&gw, "users.jsonl", &lines, &[]);

        assert_eq!(summary(&output), (vec![], json!({ "good": 2, "bad": 0, "imported": 2 })), "{output:?}");
        let shown = printed(&gw.cli(&["user", "show", "alice", "--output", "json"]));
        assert_eq!((&shown[0]["id"], &shown[0]["second_factor"]), (&json!(ID), &json!(true)));
        let first = login(&gw, "alice", IMPORTED).await;
        assert_eq!(first.reason(), Some("mfa_required"));
        let problem: Value = first.json().await.expect("a problem document");
        let ticket = problem["ticket"].as_str().expect("a ticket");
        let mut app = App::new(&SECRET.replace(' ', "").to_ascii_uppercase());
        let alice = gw.client("alice");
        assert_eq!(second_step(&alice, ticket, &app.wrong_code()).await.reason(), Some("mfa_code_invalid"));
        assert_eq!(second_step(&alice, ticket, &app.code()).await.status(), 200);
        assert_eq!(login(&gw, "bob", IMPORTED).await.status(), 200);

        let again = [
            json!({ "username": "carol", "password_hash": hash, "id": ID }),
            json!({ "username": "dan", "password_hash": hash, "id": "7" }),
            json!({ "username": "eve", "password_hash": hash, "id": "00000000-0000-0000-0000-000000000000" }),
            json!({ "username": "fay", "password_hash": hash, "id": "1f9c24e8-3b12-4fef-91e0-56a2d5a1b3c4" }),
            json!({ "username": "gus", "password_hash": hash, "id": "1F9C24E8-3b12-4fef-91e0-56a2d5a1b3c4" }),
            json!({ "username": "hal", "password_hash": hash, "totp_secret": "short" }),
        ];
        let again = again.map(|line| line.to_string()).join("\n");
        let refused = import(&gw, "more.jsonl", &again, &[]);
        assert_eq!(summary(&refused), (vec![1, 2, 3, 5, 6], json!({ "good": 1, "bad": 5, "imported": 0 })));
        let all = String::from_utf8_lossy(&refused.stdout);
        assert!(all.contains("has this id already") && all.contains("also that of line 4"), "{all}");
        assert!(all.contains("base32") && !all.contains("short"), "no secret is printed: {all}");
        let records = printed(&gw.cli(&["audit", "list", "--event", "imported", "--output", "json"]));
        assert_eq!(records.len(), 2, "each account has its record");
    }
}

#[tokio::test]
async fn names_with_an_apostrophe_or_of_a_hundred_and_twenty_eight_characters_work_everywhere() {
    let longest = "n".repeat(128);
    for gw in both_editions().await {
        let hash = HASHES[0].1;
        let csv = format!("username,password_hash,roles\nO'Brien,{hash},operator\n{longest},{hash},user\n");

        let output = import(&gw, "users.csv", &csv, &["--allow-operators"]);

        assert_eq!(summary(&output), (vec![], json!({ "good": 2, "bad": 0, "imported": 2 })), "{output:?}");
        for name in ["o'brien", &longest] {
            let granted = login(&gw, name, IMPORTED).await;
            assert_eq!(granted.status(), 200, "{name}");
            let client = gw.client(name);
            let tokens: Value = granted.json().await.expect("tokens");
            client.set_token(tokens["access_token"].as_str().map(str::to_owned));
            let echo = Echo::of(client.get("/echo").await).await;
            let told = echo.fields("x-forwarded-preferred-username")[0].to_ascii_lowercase();
            assert_eq!(told, *name);
            let listed = gw.control(http::Method::GET, &format!("/api/users/{name}")).send().await;
            assert_eq!(listed.expect("it answers").status(), 200);
            assert!(gw.cli(&["user", "show", name]).status.success());
            let audited = printed(&gw.cli(&["audit", "list", "--user", name, "--output", "json"]));
            assert!(audited.iter().any(|record| record["event"] == "logged_in"), "{audited:?}");
        }
        gw.register("d'arcy").await;
        let rename = json!({ "username": "d'Arcy's", "password": PASSWORD });
        let darcy = gw.client("d'arcy");
        darcy.login().await;
        let renamed = darcy.send(darcy.request(http::Method::PATCH, "/auth/me").json(&rename)).await;
        assert_eq!(renamed.status(), 200);
        let reserved = json!({ "username": "ad'min", "password": PASSWORD });
        let reserved = gw.anonymous().post("/auth/register", &reserved).await;
        assert_eq!(reserved.reason(), Some("username_reserved"));
        let longer = json!({ "username": format!("{longest}n"), "password": PASSWORD });
        assert_eq!(gw.anonymous().post("/auth/register", &longer).await.reason(), Some("bad_request"));
    }
}
