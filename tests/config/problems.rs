//! What is said of mistakes: every one in a single run, at its line and column, with its remedy.

use crate::surroundings::load;

/// Everything said of the file but warnings.
fn said(text: &str) -> Vec<String> {
    let lines = load(text).err().unwrap_or_default();
    lines.into_iter().filter(|line| !line.contains(" warning: ")).collect()
}

/// Lines 1 to 3 of a file that is right so far.
const HEAD: &str = "upstreams: { billing: { servers: [h:1] } }\n\
                    limits: { slow: { rate: 5/1m, by: address } }\n\
                    routes:\n";

fn said_of_route(route: &str) -> Vec<String> {
    said(&format!("{HEAD}- {{ upstream: billing, {route} }}"))
}

#[test]
fn a_mirror_is_neither_younger_nor_older_than_makes_sense() {
    for (value, reason) in [("99ms", "mode: strict"), ("61s", "keep revoked tokens alive"), ("2", "no unit")]
    {
        let lines = said(&format!(
            "{HEAD}- {{ path: /, upstream: billing }}\nrevocation: {{ max_staleness: {value} }}"
        ));

        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("revocation.max_staleness: ") && lines[0].contains(reason), "{lines:?}");
    }
}

#[test]
fn no_file_leaves_the_gateway_without_operators_or_makes_everybody_one() {
    let cases = [
        ("[]", "admin.roles: without such a role there are no operators"),
        ("[operator, user]", "admin.roles[1]: everybody who registers has this role"),
        ("[Operator]", "admin.roles[0]: \"Operator\" isn't a role name"),
    ];
    for (roles, expected) in cases {
        let lines = said(&format!("{HEAD}- {{ path: /, upstream: billing }}\nadmin: {{ roles: {roles} }}"));

        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains(expected), "{lines:?}");
    }
}

#[test]
fn mistakes_all_over_the_file_are_told_in_one_run() {
    let text = "\
version: 2
listn: {}
listen:
  proxy:
    - address: localhost:8080
      tsl: 1
  drain: 30
tokens:
  access_ttl: 15x
  keys:
    - { id: k1, algorithm: HS256, secret: \"${NOPE}\" }
auth: { password: { min_lenght: 8, workers: many } }
upstreams:
  billing:
    servers: [127.0.0.1]
limits: { odd: 5/1m }
routes:
  - { path: /a, upstream: bilng }
  - path: /b
    upstream: billing
    cache: { ttl: 1m }
    acces: public
  - { path: /a, upstream: billing }
  - 5
";

    assert_eq!(
        said(text),
        [
            "gateway.yaml:1:10 version: this gateway reads version 1; write `version: 1`",
            "gateway.yaml:2:1 listn: unknown key; did you mean \"listen\"?",
            "gateway.yaml:5:16 listen.proxy[0].address: \"localhost:8080\" isn't an IP address with a port; write it like 127.0.0.1:8080",
            "gateway.yaml:6:7 listen.proxy[0].tsl: unknown key; did you mean \"tls\"?",
            "gateway.yaml:7:10 listen.drain: 30 has no unit; write 30s for seconds",
            "gateway.yaml:9:15 tokens.access_ttl: \"15x\" isn't a duration; write it like 30s, 15m or 14d",
            "gateway.yaml:11:43 tokens.keys[0].secret: the environment variable NOPE isn't set; set it, or give a default: `${NOPE:-…}`",
            "gateway.yaml:12:21 auth.password.min_lenght: unknown key; did you mean \"min_length\"?",
            "gateway.yaml:12:45 auth.password.workers: expected a whole number, zero or more, found text",
            "gateway.yaml:15:15 upstreams.billing.servers[0]: \"127.0.0.1\" has no port; write it like 127.0.0.1:9000",
            "gateway.yaml:16:16 limits.odd: expected a mapping, found text",
            "gateway.yaml:18:27 routes[0].upstream: \"bilng\" isn't defined; did you mean \"billing\"?",
            "gateway.yaml:21:12 routes[1].cache: `vary_by` is missing; choose `user` (one answer per user), `role` (one per set of roles) or `shared` (one for everybody who may use the route)",
            "gateway.yaml:22:5 routes[1].acces: unknown key; did you mean \"access\"?",
            "gateway.yaml:23:13 routes[2].path: routes[0] takes the same requests as \"/a\"; change a path, or give each its methods",
            "gateway.yaml:24:5 routes[3]: expected a mapping, found the number 5",
        ]
    );
}

#[test]
fn broken_yaml_is_told_with_its_place() {
    let cases = [
        ("version: 1\nlisten: [", "gateway.yaml:3:1"),
        ("a: 'x", "gateway.yaml:1:4 a:"),
        (
            "version: 1\nversion: 1",
            "gateway.yaml:2:1 version: this key stands here a second time; the other is on line 1",
        ),
        (
            "routes:\n- path: /a\n  path: /b",
            "gateway.yaml:3:3 routes[0].path: this key stands here a second time; the other is on line 2",
        ),
        ("version: 1\n\tlisten: {}", "gateway.yaml:1:10 version: while scanning a plain scalar, found a tab"),
    ];

    for (text, expected) in cases {
        let lines = said(text);
        assert!(lines[0].starts_with(expected), "{text:?}: {lines:?}");
    }
}

#[test]
fn a_route_is_told_what_it_must_say() {
    let cases = [
        ("", "4:3 routes[0]: `path` is missing; write it like `path: \"/users/{id}\"`"),
        ("path: a", "4:30 routes[0].path: \"a\" must start with `/`"),
        ("path: /a//b", "4:30 routes[0].path: `//` never reaches a route"),
        ("path: /%41", "4:30 routes[0].path: percent-escapes can't be matched; use a parameter"),
        (
            "path: /auth/x",
            "4:30 routes[0].path: /auth belongs to the gateway; move `auth.prefix` or this route",
        ),
        (
            "path: /.well-known/jwks.json",
            "4:30 routes[0].path: \"/.well-known/jwks.json\" is answered by the gateway itself (`auth:`)",
        ),
        (
            "path: /a, methods: [get]",
            "4:44 routes[0].methods[0]: \"get\" isn't a method here; did you mean \"GET\"?",
        ),
        (
            "path: /a, methods: []",
            "4:43 routes[0].methods: an empty list lets no request in; remove the key to allow all methods",
        ),
        ("path: /a, host: 'a:80'", "4:40 routes[0].host: \"a:80\": write the host without scheme and port"),
        (
            "path: /a, limits: [slwo]",
            "4:43 routes[0].limits[0]: \"slwo\" isn't defined; did you mean \"slow\"?",
        ),
        (
            "path: /a, max_body: 1XB",
            "4:44 routes[0].max_body: \"1XB\" isn't a size; write it like 64KiB or 10MiB",
        ),
        (
            "path: /a, access: pubic",
            "4:42 routes[0].access: \"pubic\" isn't one of public, optional, authenticated; did you mean \"public\"?",
        ),
        (
            "path: /a, access: {}",
            "4:42 routes[0].access: this asks for nothing; write `authenticated`, or name roles",
        ),
        (
            "path: /a, access: { roles: [] }",
            "4:51 routes[0].access.roles: an empty list asks for nothing; name a role or remove the key",
        ),
        (
            "path: '/{id}', access: { owner: uid }",
            "4:56 routes[0].access.owner: the path has no parameter {uid}; did you mean \"id\"?",
        ),
        (
            "path: /a, name: 'auth:x'",
            "4:40 routes[0].name: names with `auth:` belong to the gateway's own routes",
        ),
        (
            "path: /a, access: public, cache: { ttl: 1s, vary_by: user }",
            "4:77 routes[0].cache.vary_by: a public route knows nobody; write `shared`, or `access: optional`",
        ),
        (
            "path: /a, methods: [POST], cache: { ttl: 1s, vary_by: user }",
            "4:58 routes[0].cache: only answers to GET are cached, and this route doesn't take it",
        ),
    ];

    for (route, expected) in cases {
        assert_eq!(said_of_route(route), [format!("gateway.yaml:{expected}")], "{route:?}");
    }
}

#[test]
fn secrets_that_protect_nothing_are_refused_and_never_shown() {
    let cases = [
        ("short", "HS256 needs 32 bytes or more, this has 5"),
        ("changeme", "this is a well-known sample secret"),
        ("your-256-bit-secret-your-256-bit-secret", "this is a well-known sample secret"),
        ("abababababababababababababababababab", "this secret only repeats a few characters"),
    ];

    for (secret, reason) in cases {
        let text = format!("tokens: {{ keys: [{{ id: k1, algorithm: HS256, secret: {secret} }}] }}");
        let expected = format!(
            "gateway.yaml:1:54 tokens.keys[0].secret: {reason}; make a fresh one; run: openssl rand -base64 48"
        );
        assert_eq!(said(&text), [expected]);
    }
}

#[test]
fn the_rest_of_the_file_is_checked_as_closely() {
    let cases = [
        (
            "trusted_proxies: [0.0.0.0/0]",
            "1:19 trusted_proxies[0]: this trusts everybody to say who they are; name your proxies' networks",
        ),
        ("storage: [a, b]", "1:10 storage: expected a mapping, found a list"),
        (
            "storage: { users: mysql://root:pw@h/d }",
            "1:19 storage.users: the scheme \"mysql\" isn't supported; use postgres://… or sqlite://data/portcullis.db",
        ),
        (
            "storage: { users: '' }",
            "1:19 storage.users: expected postgres://… or sqlite://data/portcullis.db",
        ),
        (
            "storage: { state: 'redis+cluster://u:hunter2@a/1' }",
            "1:19 storage.state: a Redis Cluster has one database, 0; leave the path out",
        ),
        (
            "storage: { state: 'rediss://a', state_ca: ca.pem }",
            "1:43 storage.state_ca: expected certificates in PEM: `{ file: ca.pem }`",
        ),
        (
            "storage: { state: 'redis+sentinel://a/m', state_ca: '-----BEGIN CERTIFICATE-----' }",
            "1:53 storage.state_ca: `state` speaks no TLS; write rediss://, rediss+cluster:// or rediss+sentinel://",
        ),
        (
            "storage: { state: 'redis+sentinel://a,b' }",
            "1:19 storage.state: the URL doesn't say what the sentinels call the master; write it like \
             redis+sentinel://host:26379,host:26379/mymaster/0",
        ),
        (
            "storage: { state: 'redis+sentinel://a,/m' }",
            "1:19 storage.state: expected servers as `host` or `host:port` with commas between them; write it like \
             redis+sentinel://host:26379,host:26379/mymaster/0",
        ),
        ("tokens: { leeway: 61s }", "1:19 tokens.leeway: more than 60s would keep expired tokens alive"),
        ("tokens: { issuer: '' }", "1:19 tokens.issuer: must not be empty"),
        (
            "tokens: { refresh_ttl: 100d }",
            "1:24 tokens.refresh_ttl: must not be longer than `session_ttl` (default 90d)",
        ),
        (
            "tokens: { keys: [{ id: k, algorithm: RS256, key: { file: k.pem } }] }",
            "1:50 tokens.keys[0].key: k.pem: there is no such file",
        ),
        (
            "listen: { proxy: [{ address: '127.0.0.1:9090' }] }",
            "1:30 listen.proxy[0].address: 127.0.0.1:9090 is the admin address; it must have a port of its own",
        ),
        (
            "auth: { registration: opne }",
            "1:23 auth.registration: \"opne\" isn't one of open, closed; did you mean \"open\"?",
        ),
        (
            "auth: { aliases: { /login: signin } }",
            "1:28 auth.aliases./login: \"signin\" isn't one of register, login, token, refresh, logout, me, password, password-forgot, password-reset, email-verify, email-resend, login-mfa, mfa, mfa-totp, mfa-confirm, mfa-recovery-codes, mfa-disable, sessions, session, keys, key, introspect, revoke, validate, jwks, openapi, docs, docs-file",
        ),
        (
            "auth: { aliases: { /login: { endpoint: login, answer: { token: acces_token } } } }",
            "1:64 auth.aliases./login.answer.token: no answer of \"login\" has \"acces_token\"; did you mean \"access_token\"?",
        ),
        (
            "auth: { aliases: { /in: { endpoint: login, answer: { message: Logged in } } } }",
            "1:63 auth.aliases./in.answer.message: no answer of \"login\" has \"Logged in\"; a fixed text is `{ text: … }`",
        ),
        (
            "auth: { aliases: { /in: { endpoint: login, answer: { user: { name: { text: access_token } } } } } }",
            "1:76 auth.aliases./in.answer.user.name.text: this is the fixed text \"access_token\"; for the member, write access_token alone",
        ),
        (
            "auth: { aliases: { /in: { endpoint: login, request: { name: usernam } } } }",
            "1:61 auth.aliases./in.request.name: no request to \"login\" has \"usernam\"; did you mean \"username\"?",
        ),
        (
            "auth: { aliases: { /in: { endpoint: login, request: { a: username, b: username } } } }",
            "1:71 auth.aliases./in.request.b: \"a\" is \"username\" already; a member has one name",
        ),
        (
            "auth: { aliases: { /docs: docs } }",
            "1:27 auth.aliases./docs: the page is off; write `docs: true` beside `aliases`",
        ),
        (
            "auth: { aliases: { /me: { endpoint: me, methods: [POST] } } }",
            "1:50 auth.aliases./me.methods: \"me\" doesn't answer POST, only GET, PUT, PATCH, DELETE",
        ),
        (
            "auth: { aliases: { /in: [login, refresh] } }",
            "1:25 auth.aliases./in: an endpoint answers these requests already",
        ),
        (
            "auth: { email: { reset_link: https://app.example.org/reset } }",
            "1:30 auth.email.reset_link: write the URL of a page, like https://app.example.org/reset#{token}",
        ),
        (
            "{ storage: { users: postgres://db/x }, auth: { require_verified_email: true } }",
            "1:72 auth.require_verified_email: nobody could ever log in: no mail is sent without `mail.smtp` or `mail.folder`",
        ),
        (
            "mail: { from: x, folder: mails }",
            "1:15 mail.from: \"x\" isn't an address; write it like Example <no-reply@example.org>",
        ),
        (
            "mail: { from: a@b.c, smtp: { host: smtp.example.org, tls: none, username: u, password: p } }",
            "1:59 mail.smtp.tls: the password would go over the network in the clear; write starttls or implicit",
        ),
        (
            "mail: { templates: { reset: { text: Hello } } }",
            "1:37 mail.templates.reset.text: tells nobody what to do; it needs {action}, {link} or {token}",
        ),
        (
            "mail: { templates: { notice: { html: Hello } } }",
            "1:38 mail.templates.notice.html: tells nobody what was changed; it needs {change}",
        ),
        (
            "limits: { a: { rate: 0/1m, by: user } }",
            "1:22 limits.a.rate: a rate of 0 would refuse every request",
        ),
        (
            "limits: { a: { rate: 5/1m } }",
            "1:14 limits.a: `by` is missing; write address, user, role, { header: … } or { parameter: … }",
        ),
        (
            "tests: [{ request: GET /, expect: alowed }]",
            "1:35 tests[0].expect: \"alowed\" is neither `allowed` nor a code; did you mean \"allowed\"?",
        ),
        ("upstreams:\n  a:\n", "2:4 upstreams.a: this entry is empty; fill it or remove it"),
    ];

    for (text, expected) in cases {
        assert_eq!(said(text), [format!("gateway.yaml:{expected}")], "{text}");
    }
}

#[test]
fn an_issuer_must_say_whose_tokens_it_makes_and_whose_keys_sign_them() {
    let keys = r#"'{"keys":[{"kty":"oct","kid":"a","k":"c2VjcmV0"}]}'"#;
    for (issuer, reason) in [
        ("audience: a".to_owned(), "x: `issuer` is missing"),
        ("issuer: \"https://i\"".to_owned(), "x: `audience` is missing"),
        ("issuer: \"https://i\", audience: []".to_owned(), "x.audience: an empty list"),
        ("issuer: \"http://i\", audience: a".to_owned(), "x.issuer: isn't an https URL"),
        ("issuer: i, audience: a, jwks: \"http://i/keys\"".to_owned(), "x.jwks: write an https URL"),
        ("issuer: i, audience: a, jwks: \"ftp://localhost/\"".to_owned(), "x.jwks: write an https URL"),
        (format!("issuer: i, audience: a, jwks: {keys}"), "x.jwks: the JWK set has no public key"),
        ("issuer: i, audience: a, jwks: \"{\"".to_owned(), "x.jwks: this isn't a JWK set"),
        (
            "issuer: \"https://i\", audience: a, algorithms: [HS256]".to_owned(),
            "algorithms[0]: HS256 needs no private key",
        ),
        ("issuer: \"https://i\", audience: a, algorithms: [ES255]".to_owned(), "did you mean \"ES256\"?"),
        (
            "issuer: \"https://i\", audience: a, roles: { a: admin }".to_owned(),
            "x.roles: says what its roles",
        ),
        ("issuer: [], audience: a".to_owned(), "x.issuer: an empty list"),
        (
            "issuer: [\"https://i\", \"http://localhost:8080\"], audience: a".to_owned(),
            "tokens.issuer is the same",
        ),
        ("issuer: \"https://i/{tenantid}\", audience: a".to_owned(), "x: `tenants` is missing"),
        (
            "issuer: \"https://i\", audience: a, tenants: any".to_owned(),
            "x.tenants: only for an issuer with {tenantid}",
        ),
        (
            "issuer: \"http://localhost:{tenantid}\", audience: a, tenants: any, jwks: \"https://i/keys\""
                .to_owned(),
            "x.issuer: tokens.issuer is one of its tenants",
        ),
        (
            "issuer: \"https://i\", audience: none, audience_claim: client_id".to_owned(),
            "x.audience_claim: `audience: none` looks at no claim",
        ),
        (
            "issuer: \"https://i\", audience: a, claims: { roles: r }, roles: some".to_owned(),
            "x.roles: \"some\" isn't one of same",
        ),
        (
            "issuer: \"https://i\", audience: a, username_prefix: staff-".to_owned(),
            "x.username_prefix: accounts here may have names that begin so",
        ),
        (
            "issuer: \"https://i\", audience: a, username_prefix: \"a, b:\"".to_owned(),
            "x.username_prefix: a prefix has visible ASCII characters",
        ),
        ("issuer: \"https://i\", audience: a, cooldown: 10ms".to_owned(), "x.cooldown: less than 1s"),
        ("issuer: \"https://i\", audience: a, refresh: 3s".to_owned(), "x.refresh: must not be shorter"),
        ("issuer: \"https://i\", audience: a, ca: x".to_owned(), "x.ca: expected certificates"),
        ("issuer: \"http://localhost:8080\", audience: a".to_owned(), "x.issuer: tokens.issuer is the same"),
    ] {
        let lines = said(&format!(
            "{HEAD}- {{ path: /, upstream: billing, issuers: [x] }}\nissuers: {{ x: {{ {issuer} }} }}"
        ));

        assert!(lines.len() == 1 && lines[0].contains(reason), "{issuer}: {lines:#?}");
    }
    let lines = said_of_route("path: /, issuers: [portcullis, y]");
    assert!(lines.len() == 1 && lines[0].contains("issuers[1]: \"y\" isn't defined"), "{lines:?}");
    assert_eq!(said_of_route("path: /, issuers: []").len(), 1);
}

/// What is said of a route that these issuers reach, and of the upstream's preset.
fn said_of_names(identity: &str, prefixes: &[&str], accepted: &str) -> Vec<String> {
    let issuer = |(index, prefix): (usize, &&str)| {
        format!("  i{index}: {{ issuer: \"https://i{index}.example\", audience: a{prefix} }}\n")
    };
    let issuers: String = prefixes.iter().enumerate().map(issuer).collect();
    said(&format!(
        "upstreams: {{ a: {{ servers: [\"h:1\"], identity: {identity} }} }}\nissuers:\n{issuers}routes:\n  - {{ path: /, upstream: a, issuers: [{accepted}] }}\n"
    ))
}

#[test]
fn users_of_other_issuers_must_not_pass_for_ours_where_names_are_all_that_is_told() {
    let (none, empty, own) = ("", ", username_prefix: \"\"", ", username_prefix: \"x:\"");
    for preset in ["remote", "webauth", "consumer"] {
        for (prefixes, accepted, reason) in [
            (&[none][..], "portcullis, i0", "issuers.i0: `username_prefix` is missing: the upstream \"a\""),
            (&[none], "i0", "issuers.i0: `username_prefix` is missing"),
            (&[empty], "portcullis, i0", "issuers.i0: an empty `username_prefix`"),
            (&[own, empty], "i0, i1", "issuers.i1: an empty `username_prefix`"),
            (
                &[own, ", username_prefix: \"x:y:\""],
                "i0, i1",
                "issuers.i0: its `username_prefix` begins that of",
            ),
        ] {
            let lines = said_of_names(preset, prefixes, accepted);
            assert!(lines.len() == 1 && lines[0].contains(reason), "{preset} {prefixes:?}: {lines:#?}");
        }
        for (prefixes, accepted) in [
            (&[own][..], "portcullis, i0"),
            (&[empty], "i0"),
            (&[own, ", username_prefix: \"y:\""], "portcullis, i0, i1"),
        ] {
            assert_eq!(
                said_of_names(preset, prefixes, accepted),
                Vec::<String>::new(),
                "{preset} {prefixes:?}"
            );
        }
    }
    assert_eq!(said_of_names("forwarded", &[none], "portcullis, i0"), Vec::<String>::new(), "it is told ids");
    let tenants = |tenants: &str| {
        let issuer = format!(
            "{{ issuer: \"https://i/{{tenantid}}\", audience: a, username_prefix: \"x:\", tenants: {tenants} }}"
        );
        said(&format!(
            "upstreams: {{ a: {{ servers: [\"h:1\"], identity: remote }} }}\nissuers: {{ i0: {issuer} }}\nroutes:\n  - {{ path: /, upstream: a, issuers: [i0] }}\n"
        ))
    };
    for many in ["any", "[b, c]"] {
        let lines = tenants(many);
        assert!(lines.len() == 1 && lines[0].contains("users of different tenants"), "{many}: {lines:#?}");
    }
    assert_eq!(tenants("[b]"), Vec::<String>::new());
}
