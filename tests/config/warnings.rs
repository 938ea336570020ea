//! What can be used but probably isn't meant.

use crate::surroundings::load;

const HEAD: &str = "upstreams: { a: { servers: [h:1] } }\nroutes:\n";

fn warned(text: &str) -> Vec<String> {
    let compiled = load(text).expect("the file can be used");
    compiled.warnings.iter().map(ToString::to_string).collect()
}

fn warned_of_routes(routes: &[&str]) -> Vec<String> {
    let lines: String = routes.iter().map(|route| format!("- {{ upstream: a, {route} }}\n")).collect();
    warned(&format!("{HEAD}{lines}"))
}

#[test]
fn every_oddity_is_told_at_its_place() {
    let cases: &[(&[&str], &str)] = &[
        (
            &["path: '/docs/{*rest}', access: public", "path: /docs/internal"],
            "gateway.yaml:3:24 warning: routes[0].path: public, with the protected \"/docs/internal\" beneath it",
        ),
        (
            &["path: /a", "path: '/{*rest}', host: api.example.com"],
            "gateway.yaml:3:24 warning: routes[0].path: shadowed on the host api.example.com: \"/{*rest}\" of that host",
        ),
        (
            &["path: /a/b, methods: [GET]", "path: '/a/{*rest}'"],
            "gateway.yaml:3:39 warning: routes[0].methods: POST gets method_not_allowed here and doesn't fall through to \"/a/{*rest}\"",
        ),
        (
            &["path: /a, cache: { ttl: 1m, vary_by: user }"],
            "gateway.yaml:3:35 warning: routes[0].cache: POST passes here, too",
        ),
        (
            &["path: /a, access: { roles: [editro] }", "path: /b, access: { roles: [editor, editor] }"],
            "gateway.yaml:3:46 warning: routes[0].access.roles[0]: nothing else names the role \"editro\"; did you mean \"editor\"?",
        ),
        (
            &["path: /a, access: { roles: [operator] }"],
            "gateway.yaml:3:36 warning: routes[0].access: \"operator\" is a role of `admin.roles`",
        ),
    ];

    for (routes, expected) in cases {
        let lines = warned_of_routes(routes);
        assert!(lines.iter().any(|line| line.starts_with(expected)), "{routes:?}: {lines:#?}");
    }
}

#[test]
fn what_is_meant_as_it_stands_is_not_warned_of() {
    let cases: &[&[&str]] = &[
        &["path: /a, methods: [GET]", "path: /a, methods: [POST, PUT, PATCH, DELETE]", "path: '/{*rest}'"],
        &["path: /a, methods: [GET]", "path: '/b/{*rest}'"],
        &["path: /a", "path: /b, host: api.example.com"],
        &["path: /a, methods: [GET], cache: { ttl: 1m, vary_by: user }"],
        &["path: '/a/{*rest}', access: public", "path: /b"],
        &["path: /a, access: { roles: [admin] }"],
    ];

    for routes in cases {
        let lines: Vec<_> =
            warned_of_routes(routes).into_iter().filter(|line| !line.contains("OPTIONS")).collect();
        assert_eq!(lines, Vec::<String>::new(), "{routes:?}");
    }
}

#[test]
fn what_is_unused_weak_or_in_plain_is_told() {
    let cases = [
        ("limits: { slow: { rate: 5/1m, by: user } }", "limits.slow: nothing uses this limit"),
        (
            "auth: { password: { argon2: { memory: 8MiB, iterations: 1 } } }",
            "auth.password.argon2: weaker than",
        ),
        (
            "auth: { email: { change_needs_password: false } }",
            "auth.email.change_needs_password: whoever has an access token",
        ),
        (
            "auth: { aliases: { /user: { endpoint: me, reauthentication: off } } }",
            "auth.aliases./user.reauthentication: whoever has an access token can take the account over here",
        ),
        (
            "tokens: { issuer: 'http://example.com' }",
            "tokens.issuer: browsers send the refresh cookie over HTTPS",
        ),
        (
            "storage: { users: 'postgres://portcullis:changeme@db/x' }",
            "storage.users: the password in this URL",
        ),
        ("storage: { state: 'redis://u:secret@cache:6379' }", "storage.state: the password in this URL"),
    ];

    for (section, expected) in cases {
        let lines = warned(&format!("{section}\n{HEAD}- {{ upstream: a, path: /a }}\n"));
        assert_eq!(lines.len(), 1, "{section}: {lines:?}");
        assert!(lines[0].contains(expected), "{section}: {lines:?}");
        assert!(!lines[0].contains("changeme"), "{lines:?}");
    }
    let quiet = ["tokens: { issuer: 'http://localhost:8080' }", "tokens: { issuer: 'https://example.com' }"];
    for section in quiet {
        assert_eq!(
            warned(&format!("{section}\n{HEAD}- {{ upstream: a, path: /a }}\n")),
            Vec::<String>::new()
        );
    }
}
