//! Attack classes 10 to 12, 18 and 19: claims that are wrong, late, foreign or hostile, under a
//! signature that is right.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::forge::{self, claiming, claims, header, now, with, without};
use crate::harness::{self, Echo, Gateway, Setup};
use crate::refusal::assert_refused;

fn good() -> String {
    forge::token(&header(), &claims())
}

/// With a leeway that leaves slow machines room on both sides.
async fn gateway_with_leeway() -> Gateway {
    let tokens = r#"
        tokens:
          issuer: http://localhost:8080
          audience: portcullis
          leeway: 60s
          keys: [{ id: k1, algorithm: HS256, secret: "${TOKEN_SECRET}" }]
    "#;
    harness::gateway(Setup::from(tokens)).await
}

#[tokio::test]
async fn class_10_a_claim_of_the_wrong_type_is_not_an_absent_claim() {
    let gw = harness::gateway("").await;
    let soon = now() + 600;
    let cases = [
        ("exp", json!(soon.to_string())),
        ("exp", json!(soon as f64 + 0.5)),
        ("exp", json!([soon])),
        ("exp", json!(true)),
        ("exp", json!(-1)),
        ("exp", Value::Null),
        ("exp", json!("never")),
        ("nbf", json!("x")),
        ("nbf", json!("0")),
        ("nbf", json!({})),
        ("nbf", Value::Null),
        ("iat", json!("now")),
        ("iat", Value::Null),
        ("iss", json!(["http://localhost:8080"])),
        ("iss", Value::Null),
        ("aud", json!(7)),
        ("aud", json!({ "portcullis": true })),
        ("aud", json!([["portcullis"]])),
        ("aud", Value::Null),
        ("sub", json!(7)),
        ("sub", json!("alice")),
        ("sub", json!("")),
        ("jti", json!(7)),
        ("jti", json!("*")),
        ("sid", json!([Uuid::now_v7()])),
        ("ver", json!("1")),
        ("ver", json!(-1)),
        ("ver", json!(1.5)),
        ("roles", json!("admin")),
        ("roles", json!({ "admin": true })),
        ("roles", json!([["admin"]])),
        ("roles", json!([1])),
        ("roles", Value::Null),
        ("preferred_username", json!(["alice"])),
        ("email", json!(false)),
        ("email", Value::Null),
        ("scope", json!(["read"])),
    ]
    .map(|(claim, value)| (claim, claiming(claim, value)));

    assert_refused(&gw, &good(), "token_invalid", &cases).await;
}

#[tokio::test]
async fn class_10_a_missing_or_doubled_claim_is_refused() {
    let gw = harness::gateway("").await;
    let needed = ["iss", "aud", "sub", "jti", "sid", "ver", "iat", "exp", "roles", "preferred_username"];
    let mut cases: Vec<_> =
        needed.map(|claim| (claim, forge::token(&header(), &without(claims(), claim)))).into();
    for twice in
        [r#""sub":"00000000-0000-0000-0000-000000000001","#, r#""exp":99999999999,"#, r#""\u0065xp":1,"#]
    {
        let doubled = format!("{{{twice}{}", &claims().to_string()[1..]);
        let message = format!("{}.{}", forge::encode(header().to_string()), forge::encode(doubled));
        cases.push(("doubled", forge::sign_text(harness::SECRET.as_bytes(), &message)));
    }
    for payload in ["", "{}", "[]", "null", "\"alice\"", "{", "\u{feff}{}", "not json"] {
        // An empty segment is no JWS at all, which has its own code.
        if !payload.is_empty() {
            let message = format!("{}.{}", forge::encode(header().to_string()), forge::encode(payload));
            cases.push(("no claims", forge::sign_text(harness::SECRET.as_bytes(), &message)));
        }
    }

    assert_refused(&gw, &good(), "token_invalid", &cases).await;
}

#[tokio::test]
async fn class_11_an_expired_token_is_refused_once_the_leeway_is_over() {
    let gw = gateway_with_leeway().await;
    let cases = [
        ("a moment past the leeway", claiming("exp", now() - 90)),
        ("an hour ago", claiming("exp", now() - 3600)),
        ("1970", claiming("exp", 0)),
    ];

    assert_refused(&gw, &claiming("exp", now() - 30), "token_expired", &cases).await;

    let refusal = gw.anonymous().present(&cases[0].1, "/secure/data").await;
    assert_eq!(refusal.detail(), "Access token expired");
}

#[tokio::test]
async fn class_11_a_token_from_the_future_is_refused_until_the_leeway() {
    let gw = gateway_with_leeway().await;
    let cases = [
        ("not before", claiming("nbf", now() + 90)),
        ("not before next year", claiming("nbf", now() + 31_536_000)),
        ("not before ever", claiming("nbf", u64::MAX)),
        (
            "issued tomorrow",
            forge::token(&header(), &with(with(claims(), "iat", now() + 86_400), "exp", now() + 90_000)),
        ),
    ];

    assert_refused(&gw, &claiming("nbf", now() + 30), "token_not_yet_valid", &cases).await;
}

#[tokio::test]
async fn class_11_times_near_the_end_of_the_numbers_break_nothing() {
    let gw = harness::gateway("").await;
    let client = gw.anonymous();

    for (claim, value) in [("exp", u64::MAX), ("exp", u64::MAX - 1), ("ver", u64::MAX), ("iat", 0)] {
        let refusal = client.present(&claiming(claim, value), "/protected").await;
        assert!(matches!(refusal.status, 200 | 401), "{claim} {value}: {refusal:?}");
    }

    assert_eq!(client.present(&good(), "/protected").await.status, 200);
}

#[tokio::test]
async fn class_11_a_leeway_of_more_than_a_minute_is_refused_at_the_start() {
    let gw = harness::gateway("").await;
    let yaml = std::fs::read_to_string(gw.home().join("gateway.yaml")).expect("the gateway runs by it");
    let lax = yaml.replace("audience: portcullis", "audience: portcullis\n  leeway: 61s");
    std::fs::write(gw.home().join("lax.yaml"), lax).expect("the folder is writable");

    let output = gw.cli(&["validate", "lax.yaml"]);

    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("tokens.leeway"), "{said}");
}

#[tokio::test]
async fn class_12_a_foreign_issuer_or_audience_is_refused() {
    let gw = harness::gateway("").await;
    let mut cases = Vec::new();
    for issuer in [
        "",
        "https://attacker.example",
        "http://localhost:8080/",
        "http://localhost:808",
        "http://localhost:80800",
        "HTTP://LOCALHOST:8080",
        " http://localhost:8080",
        "localhost:8080",
        "http://localhost:8080.attacker.example",
    ] {
        cases.push(("iss", claiming("iss", issuer)));
    }
    for audience in [
        json!("another-service"),
        json!(""),
        json!("Portcullis"),
        json!("portcullis2"),
        json!("portculli"),
        json!("portcullis another-service"),
        json!([]),
        json!([""]),
        json!(["another-service"]),
        json!(["another-service", "PORTCULLIS"]),
    ] {
        cases.push(("aud", claiming("aud", audience)));
    }

    let for_both = claiming("aud", json!(["another-service", "portcullis"]));
    assert_refused(&gw, &for_both, "token_invalid", &cases).await;
}

#[tokio::test]
async fn class_18_text_that_could_break_a_header_never_becomes_one() {
    let gw = harness::gateway("").await;
    let texts = [
        "a\r\nX-Forwarded-Groups: admin",
        "a\nx: y",
        "a\rb",
        "a\0b",
        "a,admin",
        "a b",
        " a",
        "a\tb",
        "a\u{7f}",
        "",
    ];
    let of_any_script = ["\u{e9}", "a\u{2028}b"];
    let mut cases = Vec::new();
    for text in texts {
        cases.push(("preferred_username", claiming("preferred_username", text)));
    }
    for text in texts.into_iter().chain(of_any_script) {
        cases.push(("email", claiming("email", text)));
        cases.push(("roles", claiming("roles", json!(["user", text]))));
    }
    cases.push(("scope", claiming("scope", "read\r\nX-Forwarded-User: root")));

    assert_refused(&gw, &good(), "token_invalid", &cases).await;

    // Names may be of any script; what isn't ASCII, or could be taken for its spelling, is encoded.
    for (name, sent) in [("\u{e9}", "%C3%A9"), ("a\u{2028}b", "a%E2%80%A8b"), ("%C3%A9", "%25C3%25A9")] {
        let client = gw.anonymous();
        let request = client.request(Method::GET, "/echo").bearer_auth(claiming("preferred_username", name));
        let answer = client.send(request).await;
        let echo = Echo::of(answer).await;
        assert_eq!(echo.fields("x-forwarded-preferred-username"), [sent], "{name:?}");
    }
}

#[tokio::test]
async fn class_19_a_role_is_held_by_its_exact_name_only() {
    let gw = harness::gateway("").await;
    let client = gw.anonymous();
    let other_roles = [
        "admins",
        "admi",
        "a",
        "administrator",
        "admin.",
        "admin:read",
        "xadmin",
        "role_admin",
        "user:admin",
    ];
    let no_roles = [
        json!(["Admin"]),
        json!(["ADMIN"]),
        json!(["user,admin"]),
        json!(["user admin"]),
        json!(["admin\0"]),
    ];

    for role in other_roles {
        let refusal = client.present(&claiming("roles", json!(["user", role])), "/admin/dashboard").await;
        assert_eq!(refusal, (403, "role_missing"), "{role}");
    }
    let none = client.present(&claiming("roles", json!([])), "/admin/dashboard").await;
    assert_eq!(none, (403, "role_missing"));
    for roles in no_roles {
        let refusal = client.present(&claiming("roles", roles.clone()), "/admin/dashboard").await;
        assert_eq!(refusal, (401, "token_invalid"), "{roles}");
    }

    assert_eq!(gw.upstream_calls("/admin/dashboard").await, 0);
    let admin = claiming("roles", json!(["user", "admin"]));
    assert_eq!(client.present(&admin, "/admin/dashboard").await.status, 200);
}
