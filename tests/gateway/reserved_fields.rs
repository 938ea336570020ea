//! Fields that say who somebody is, in the words of whatever stood before a backend until now.

use crate::harness::{self, Echo, Gateway, Reload, Setup};

const ROUTES: &str = "
    routes:
      - { path: /echo, upstream: example, access: public }
";

async fn echo(gw: &Gateway, fields: &str) -> Echo {
    let mut connection = gw.raw_connection().await;
    connection.send(format!("GET /echo HTTP/1.1\r\nHost: gateway\r\n{fields}\r\n").as_bytes()).await;
    Echo::read(&connection.answer().await.expect("an answer").body)
}

fn holds(echo: &Echo, value: &str) -> bool {
    echo.headers().iter().any(|(_, held)| held.contains(value))
}

#[tokio::test]
async fn identity_fields_of_other_gateways_and_clouds_stay_here() {
    let gw = harness::gateway(ROUTES).await;

    for name in [
        "X-authentik-username",
        "x_authentik_groups",
        "X-Pomerium-Claim-Email",
        "X-Pomerium-Jwt-Assertion",
        "Cf-Access-Authenticated-User-Email",
        "cf_access_jwt_assertion",
        "X-Goog-Authenticated-User-Email",
        "X-Goog-Iap-Jwt-Assertion",
        "X-MS-CLIENT-PRINCIPAL",
        "X-MS-CLIENT-PRINCIPAL-NAME",
        "X-Ms-Token-Aad-Id-Token",
        "Tailscale-User-Login",
        "X-Scope-OrgID",
        "X-Username",
        "X-Userinfo",
        "X-Role",
        "X-Tenant",
        "X-SSL-Client-CN",
        "SSL-Client-Verify",
        "X-Client-Cert",
        "Client-Cert",
        "X-Amzn-Oidc-Identity",
        "X-Vouch-User",
        "X-Auth-Userid",
    ] {
        assert!(!holds(&echo(&gw, &format!("{name}: forged\r\n")).await, "forged"), "{name}");
    }
    for name in ["X-Tenant-Id", "X-Auth-Token", "X-Api-Version"] {
        assert!(holds(&echo(&gw, &format!("{name}: own\r\n")).await, "own"), "{name}");
    }
}

#[tokio::test]
async fn an_upstream_may_reserve_more() {
    let with = |reserved: &str| {
        Setup::from(ROUTES).with(&format!(
            "upstreams: {{ example: {{ servers: [\"${{UPSTREAM}}\"], reserved: {reserved} }} }}"
        ))
    };
    let gw = harness::gateway(with("[X-Employee-Id, \"X-Corp-*\"]")).await;

    for name in ["X-Employee-Id", "x_employee_id", "X-Corp-Unit", "X.Corp.Unit"] {
        assert!(!holds(&echo(&gw, &format!("{name}: forged\r\n")).await, "forged"), "{name}");
    }
    assert!(holds(&echo(&gw, "X-Employee: own\r\n").await, "own"));

    assert_eq!(gw.reload(with("[Host]")).await, Reload::Refused);
    assert_eq!(gw.reload(with("[]")).await, Reload::InForce);
    assert!(holds(&echo(&gw, "X-Employee-Id: own\r\n").await, "own"));
}

/// Whether or not routes of the path differ by method.
#[tokio::test]
async fn method_overrides_stay_here_where_routes_differ_by_method() {
    let gw = harness::gateway(
        "
        routes:
          - { path: /echo, methods: [GET, POST], upstream: example, access: public }
          - { path: /echo, methods: [DELETE], upstream: example, access: { roles: [admin] } }
        ",
    )
    .await;

    for name in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X_HTTP_Method_Override"] {
        assert!(!holds(&echo(&gw, &format!("{name}: DELETE\r\n")).await, "DELETE"), "{name}");
    }
}

#[tokio::test]
async fn a_refresh_cookie_of_a_login_before_this_one_stays_here() {
    let gw = harness::gateway(ROUTES).await;

    for name in
        ["refresh_token", "refreshToken", "refresh-token", "refresh_token_cookie", "__Host-refresh_token"]
    {
        let echo = echo(&gw, &format!("Cookie: a=1; {name}=s3cret; b=2\r\n")).await;
        assert_eq!(echo.fields("cookie"), ["a=1; b=2"], "{name}");
    }
    let other = echo(&gw, "Cookie: refresh=1; my_refresh_token=2\r\n").await;
    assert_eq!(other.fields("cookie"), ["refresh=1; my_refresh_token=2"]);
}
