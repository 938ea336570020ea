//! Class 52: nothing is open because somebody made a mistake in the file.

use crate::harness::{self, Reason, Reload};

fn with_access(access: &str) -> String {
    format!(
        "routes:
  - {{ path: \"/public/{{*rest}}\", upstream: example, access: public }}
  - {{ path: /protected, upstream: example, access: {access} }}
"
    )
}

#[tokio::test]
async fn class_52_what_the_file_does_not_open_is_closed() {
    let gw = harness::gateway(
        r#"
        routes:
          - { path: "/public/{*rest}", upstream: example, access: public }
          - { path: /protected, upstream: example }
          - { path: "/users/{id}/notes", methods: [GET], upstream: example }
        "#,
    )
    .await;
    let anonymous = gw.anonymous();

    for (path, status, code) in [
        ("/protected", 401, "no_credentials"),
        ("/users/7/notes", 401, "no_credentials"),
        ("/admin/dashboard", 404, "route_not_found"),
        ("/public", 404, "route_not_found"),
        ("/", 404, "route_not_found"),
    ] {
        let answer = anonymous.get(path).await;
        assert_eq!((answer.status().as_u16(), answer.reason()), (status, Some(code)), "{path}");
    }
    for path in ["/protected", "/users/7/notes", "/admin/dashboard", "/public", "/"] {
        assert_eq!(gw.upstream_calls(path).await, 0, "{path}");
    }
}

#[tokio::test]
async fn class_52_an_access_rule_that_is_no_rule_is_refused_and_opens_nothing() {
    let gw = harness::gateway("").await;

    for access in [
        "",
        "{}",
        "[]",
        "[admin]",
        "true",
        "Public",
        "none",
        "{ roles: [] }",
        "{ roles: \"\" }",
        "{ role: admin }",
        "{ roles: [admin], public: true }",
        "{ owner: id }",
    ] {
        let file = with_access(access);
        assert_eq!(gw.reload(file.as_str()).await, Reload::Refused, "access: {access}");
        assert_eq!(gw.anonymous().get("/protected").await.reason(), Some("no_credentials"), "{access}");
        std::fs::write(gw.home().join("mistake.yaml"), file).expect("the folder is the test's own");
        let start = gw.cli(&["serve", "--config", "mistake.yaml"]);
        assert_eq!(start.status.code(), Some(1), "access: {access}");
    }
    assert_eq!(gw.upstream_calls("/protected").await, 0);
}
