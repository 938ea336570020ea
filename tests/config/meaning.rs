//! What good files mean.

use std::time::Duration;

use http::Method;
use std::sync::Arc;

use portcullis::config::policy::{
    Access, Admin, Assignment, AuthEndpoint, Destination, LimitBy, MethodSet, Policy, Route, StateStorage,
    UserStorage,
};

use portcullis::identity::secret::Secret;

use crate::surroundings::load;

fn policy(text: &str) -> Arc<Policy> {
    load(text).expect("the file is right").policy
}

fn assigned(policy: &Policy, host: &str, method: Method, path: &str) -> Option<String> {
    match policy.routes.assign(host, &method, path) {
        Assignment::Route(route, _) => Some(route.name.clone()),
        Assignment::WrongMethod(_) | Assignment::NotFound => None,
    }
}

fn route<'p>(policy: &'p Policy, name: &str) -> &'p Route {
    policy.routes.routes().iter().find(|route| route.name == name).expect("the file names it")
}

#[test]
fn clients_have_limits_of_their_own() {
    let short = policy("version: 1").listen.clone();
    assert_eq!(short.timeouts.header, Duration::from_secs(10));
    assert_eq!(
        (short.timeouts.body, short.timeouts.send),
        (Duration::from_secs(60), Duration::from_secs(60))
    );
    assert_eq!((short.max_connections.total, short.max_connections.per_address), (None, None));

    let yaml = "listen: { timeouts: { header: 5s, body: 2m, send: 1m30s }, max_connections: { total: 9, per_address: 3 } }";
    let listen = policy(yaml).listen.clone();
    assert_eq!(listen.timeouts.header, Duration::from_secs(5));
    assert_eq!(
        (listen.timeouts.body, listen.timeouts.send),
        (Duration::from_secs(120), Duration::from_secs(90))
    );
    assert_eq!((listen.max_connections.total, listen.max_connections.per_address), (Some(9), Some(3)));
}

#[test]
fn a_file_may_be_as_short_as_one_line() {
    let policy = policy("version: 1");

    assert_eq!(policy.listen.admin.port(), 9090);
    assert!(policy.admin.is_operator(&["user".into(), "operator".into()]));
    assert!(!policy.admin.is_operator(&["admin".into(), "user".into()]));
    assert_eq!(policy.storage.users, UserStorage::Sqlite("data/portcullis.db".into()));
    assert_eq!(policy.storage.state, StateStorage::Embedded("data/state.db".into()));
    assert_eq!(policy.tokens.session_ttl, Duration::from_secs(90 * 24 * 3600));
    assert_eq!(policy.tokens.max_sessions, 100);
    assert!(!policy.revocation.admit_unchecked_bearers);
    assert_eq!(policy.revocation.max_staleness, Some(Duration::from_secs(2)));
}

#[test]
fn the_control_socket_lies_beside_the_data_unless_the_file_says_otherwise() {
    for (yaml, path, is_required) in [
        ("version: 1", "data/portcullis.sock", false),
        ("storage: { users: 'sqlite:///var/lib/gate/users.db' }", "/var/lib/gate/portcullis.sock", false),
        ("storage: { users: 'postgres://gate:0f1e2d3c4b5a6978@db/gate' }", "data/portcullis.sock", false),
        ("listen: { control: /run/gate.sock }", "/run/gate.sock", true),
    ] {
        let control = policy(yaml).listen.control.clone();
        assert_eq!((control.path.to_str(), control.is_required), (Some(path), is_required), "{yaml}");
    }
}

#[test]
fn the_admin_port_may_have_names_and_its_metrics_a_token() {
    let named = policy("admin: { hosts: [Gate.Example, '[::1]'] }\nmetrics: { token: 8f1c0d5e7a9b4c2d }");

    assert_eq!(named.admin.hosts, ["gate.example", "[::1]"]);
    assert_eq!(named.admin.metrics_token, Some(Secret::new("8f1c0d5e7a9b4c2d")));
    assert_eq!(policy("version: 1").admin, Admin::default());
}

#[test]
fn a_variable_can_be_a_number() {
    let policy = policy(
        "upstreams: { a: { servers: [{ address: 'h:${PORT}', weight: '${WEIGHT:-3}' }] } }\n\
         routes: [{ path: /, upstream: a, websocket: '${WS:-true}' }]",
    );

    assert_eq!((policy.upstreams[0].servers[0].port, policy.upstreams[0].servers[0].weight), (9001, 3));
    assert!(route(&policy, "/").websocket);
}

#[test]
fn the_auth_endpoints_are_routes_on_every_host() {
    let policy = policy(
        "auth: { aliases: { /login: login } }\n\
         upstreams: { a: { servers: [h:1] } }\n\
         routes:\n\
         - { host: A.example, path: '/{*rest}', upstream: a }\n\
         - { host: a.example, path: /login, methods: [GET], upstream: a, name: page }",
    );

    for (path, endpoint) in
        [("/auth/login", "auth:login"), ("/auth/token", "auth:token"), ("/login", "auth:login")]
    {
        let name = assigned(&policy, "a.example", Method::POST, path);
        assert_eq!(name.as_deref(), Some(endpoint), "{path}");
    }
    assert_eq!(assigned(&policy, "a.example", Method::GET, "/login").as_deref(), Some("page"));
    assert_eq!(assigned(&policy, "b.example", Method::GET, "/x"), None);
    let me = route(&policy, "auth:me");
    assert!(matches!(me.destination, Destination::Auth(AuthEndpoint::Me)));
    assert!(matches!(me.access, Access::Authenticated(_)));
}

#[test]
fn endpoints_share_an_alias_by_their_methods() {
    let policy = policy(
        "auth: { aliases: { /user: [{ endpoint: register, answer: { user_id: id } }, me], \
                            /logout: { endpoint: logout, methods: [DELETE] } } }",
    );

    for (method, path, name) in [
        (Method::POST, "/user", Some("auth:register")),
        (Method::GET, "/user", Some("auth:me")),
        (Method::DELETE, "/user", Some("auth:me")),
        (Method::DELETE, "/logout", Some("auth:logout")),
        (Method::POST, "/logout", None),
    ] {
        assert_eq!(assigned(&policy, "a.example", method.clone(), path).as_deref(), name, "{method} {path}");
    }
}

#[test]
fn login_and_register_are_limited_unless_the_file_says_otherwise() {
    let built_in = policy("version: 1");
    let off = policy("auth: { limits: off }");
    let empty = policy("auth: { limits: {} }");

    let limits = &route(&built_in, "auth:login").limits;
    assert_eq!((limits[0].name.as_str(), &limits[0].by), ("auth-login", &LimitBy::Address));
    assert_eq!((limits[0].quota.count, limits[0].quota.window), (5, Duration::from_secs(60)));
    assert!(route(&off, "auth:login").limits.is_empty());
    assert_eq!(route(&empty, "auth:login").limits, *limits, "what isn't named keeps its own");
}

#[test]
fn a_named_endpoint_loses_its_built_in_limit_and_no_other_does() {
    let policy = policy(
        "auth: { limits: { login: [slow], register: [], keys: [slow] } }\n\
         limits: { slow: { rate: 3/1h, by: address } }",
    );

    let names = |endpoint: &str| {
        let route = route(&policy, &format!("auth:{endpoint}"));
        route.limits.iter().map(|limit| limit.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names("login"), ["slow"]);
    assert!(names("register").is_empty());
    assert_eq!(names("keys"), ["slow"]);
    assert!(names("me").is_empty());
    for endpoint in [
        "password",
        "password-forgot",
        "password-reset",
        "email-verify",
        "email-resend",
        "login-mfa",
        "mfa-totp",
        "mfa-confirm",
        "mfa-recovery-codes",
        "mfa-disable",
    ] {
        assert_eq!(names(endpoint), [format!("auth-{endpoint}")]);
    }
}

/// One budget for passwords, whichever of the two takes them; and another one where the file wants it.
#[test]
fn the_token_endpoint_counts_with_the_login() {
    let limits = "limits: { few: { rate: 3/1m, by: address }, many: { rate: 99/1m, by: address } }\n";
    let names = |yaml: &str, endpoint: &str| -> Vec<String> {
        let policy = policy(yaml);
        route(&policy, endpoint).limits.iter().map(|limit| limit.name.clone()).collect()
    };

    assert_eq!(names("version: 1", "auth:token"), ["auth-login"]);
    assert_eq!(names(&format!("{limits}auth: {{ limits: {{ login: [few] }} }}"), "auth:token"), ["few"]);
    let own = format!("{limits}auth: {{ limits: {{ login: [few], token: [many] }} }}");
    assert_eq!(names(&own, "auth:token"), ["many"]);
    assert_eq!(names(&own, "auth:login"), ["few"]);
}

/// Browsers send it to the path it is for and beneath.
#[test]
fn the_refresh_cookie_reaches_each_alias_that_reads_it() {
    for (aliases, path) in [
        ("{}", "/auth"),
        ("{ /login: login }", "/auth"),
        ("{ /token/refresh: refresh }", "/"),
        ("{ /logout: logout }", "/"),
    ] {
        let policy = policy(&format!("auth: {{ aliases: {aliases} }}"));
        assert_eq!(policy.auth.cookie_path, path, "{aliases}");
    }
    let within =
        policy("auth: { prefix: /auth/gateway, aliases: { /auth/refresh: refresh, /auth/logout: logout } }");
    assert_eq!(within.auth.cookie_path, "/auth");
}

/// It tells known devices apart wherever a password or a code is compared.
#[test]
fn the_device_cookie_reaches_each_alias_that_compares_a_password_or_a_code() {
    for (aliases, path) in [
        ("{}", "/auth"),
        ("{ /register: register, /token/refresh: refresh, /logout: logout }", "/auth"),
        ("{ /login: login }", "/"),
        ("{ /token: token }", "/"),
        ("{ /login/mfa: login-mfa }", "/"),
        ("{ /user: me }", "/"),
        ("{ /account/password: password }", "/"),
    ] {
        let policy = policy(&format!("auth: {{ aliases: {aliases} }}"));
        assert_eq!(policy.auth.device_path, path, "{aliases}");
    }
    let within = policy("auth: { prefix: /api/gateway, aliases: { /api/sign-in: login } }");
    assert_eq!(within.auth.device_path, "/api");
}

#[test]
fn default_limits_hold_where_a_route_names_none() {
    let policy = policy(
        "upstreams: { a: { servers: [h:1] } }\n\
         limits: { slow: { rate: 1/1s, by: user }, fast: { rate: 9/1s, by: address } }\n\
         defaults: { limits: [slow] }\n\
         routes:\n\
         - { path: /silent, upstream: a }\n\
         - { path: /own, upstream: a, limits: [fast] }\n\
         - { path: /none, upstream: a, limits: [] }",
    );

    let names = |name| route(&policy, name).limits.iter().map(|limit| limit.name.clone()).collect::<Vec<_>>();
    assert_eq!(names("/silent"), ["slow"]);
    assert_eq!(names("/own"), ["fast"]);
    assert!(names("/none").is_empty());
}

#[test]
fn a_route_that_says_nothing_is_authenticated_and_takes_every_method() {
    let policy = policy("upstreams: { a: { servers: [h:1] } }\nroutes: [{ path: /x, upstream: a }]");

    let route = route(&policy, "/x");
    assert_eq!(route.access, Access::Authenticated(Default::default()));
    assert_eq!(route.methods, MethodSet::Any);
    assert_eq!(route.max_body, 10 << 20);
}

#[test]
fn the_digest_tells_meanings_apart_and_not_layouts() {
    let one = policy("version: 1\ntokens: { audience: a, issuer: b }").digest.clone();
    let same =
        policy("# a comment\ntokens:\n  issuer: b\n  audience: ${AUDIENCE:-a}\nversion: 1").digest.clone();
    let other = policy("version: 1\ntokens: { audience: a, issuer: c }").digest.clone();

    assert_eq!(one, same);
    assert_ne!(one, other);
    assert_eq!(one.len(), 64);
}

#[test]
fn warnings_point_at_what_is_probably_not_meant() {
    let compiled = load(
        "upstreams: { a: { servers: [h:1] }, b: { servers: [h:2] } }\n\
         limits: { idle: { rate: 1/1s, by: user } }\n\
         routes:\n\
         - { path: '/{*rest}', upstream: a, access: public }\n\
         - { path: /x, upstream: a, access: { roles: [editor] } }\n\
         - { path: /y, upstream: a, access: { roles: [editor, edtior] } }",
    )
    .unwrap();

    let lines: Vec<String> = compiled.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "gateway.yaml:1:40 warning: upstreams.b: nothing uses this upstream",
            "gateway.yaml:2:17 warning: limits.idle: nothing uses this limit",
            "gateway.yaml:4:11 warning: routes[0].path: public, with the protected \"/x\" beneath it: whatever no other route names is public too",
            "gateway.yaml:6:54 warning: routes[2].access.roles[1]: nothing else names the role \"edtior\"; did you mean \"editor\"?",
        ]
    );
}
