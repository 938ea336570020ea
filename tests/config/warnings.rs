//! What can be used but probably isn't meant.

use crate::surroundings::load;

const HEAD: &str = "upstreams: { a: { servers: [h:1] } }\nroutes:\n";

fn warned(text: &str) -> Vec<String> {
    let compiled = load(text).expect("the file can be used");
    // Registration is open unless the file says otherwise; of that beside other things, a test of its own.
    let lines = compiled.warnings.iter().map(ToString::to_string);
    lines.filter(|line| !line.contains("auth.registration: anybody can make an account")).collect()
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
            "gateway.yaml:3:35 warning: routes[0].cache: POST passes here, too, and it drops the kept answer to its own URL",
        ),
        (
            &["path: /a, cache: { ttl: 1m, vary_by: shared }"],
            "gateway.yaml:3:35 warning: routes[0].cache: POST passes here, too, and it drops no kept answer",
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
        &["path: '/a/{*rest}', methods: [OPTIONS], access: public", "path: /a/b, methods: [GET]"],
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
            "auth: { aliases: { /user: { endpoint: me, reauthentication: waived } } }",
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

#[test]
fn open_registration_beside_what_any_account_reaches_is_told() {
    let lines = |auth: &str, preset: &str, routes: &[&str]| {
        let routes: String = routes.iter().map(|route| format!("- {{ upstream: a, {route} }}\n")).collect();
        let upstreams = format!("upstreams: {{ a: {{ servers: [h:1], identity: {preset} }} }}");
        let compiled = load(&format!("auth: {{ registration: {auth} }}\n{upstreams}\nroutes:\n{routes}"));
        let compiled = compiled.expect("the file can be used");
        compiled.warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let any = ["path: /a", "path: /b, access: { mfa: true }", "path: /c"];
    let some = [
        "path: /a, access: { roles: [user] }",
        "path: /b, access: public",
        "path: '/{id}/x', access: { owner: id }",
    ];

    let told = lines("open", "forwarded", &any);
    let place = "gateway.yaml:1:23 warning: auth.registration: anybody can make an account here, and any account's token passes \"/a\" and 1 more;";
    assert!(told.len() == 1 && told[0].starts_with(place), "{told:#?}");
    assert_eq!(lines("open", "forwarded", &some), Vec::<String>::new());
    for preset in ["webauth", "remote", "consumer"] {
        let told = lines("open", preset, &some);
        let place =
            "gateway.yaml:2:45 warning: upstreams.a.identity: registration is open, and this preset tells";
        assert!(told.len() == 1 && told[0].starts_with(place), "{preset}: {told:#?}");
        assert_eq!(lines("closed", preset, &any), Vec::<String>::new());
    }
}

#[test]
fn a_reserved_name_that_nobody_can_have_is_a_mistake() {
    let with = |names: &str| {
        load(&format!("auth: {{ reserved_names: {names} }}\n{HEAD}- {{ upstream: a, path: /a }}\n"))
    };

    let problems = with("['two words']").map(drop).expect_err("nobody can be called so");
    assert!(
        problems[0].to_string().contains("auth.reserved_names[0]: nobody can have this name"),
        "{problems:?}"
    );
    let reserved =
        |names: &str| with(names).expect("the file can be used").policy.auth.reserved_names.clone();
    assert!(reserved("[ceo]").contains("C.E.O") && reserved("[ceo]").contains("admin"));
    assert!(!reserved("[]").contains("admin"));
}

#[test]
fn a_route_to_roles_that_leads_nowhere_is_told() {
    let issuer = |roles: &str| {
        warned(&format!(
            "issuers: {{ x: {{ issuer: 'https://i', audience: a, claims: {{ roles: groups }}{roles} }} }}\n{HEAD}- {{ upstream: a, path: /a, issuers: [x] }}\n"
        ))
    };

    let lines = issuer("");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("issuers.x.claims.roles: none of its roles count: map them"), "{lines:?}");
    assert_eq!(issuer(", roles: same"), Vec::<String>::new());
}

#[test]
fn tokens_without_an_audience_are_told() {
    let lines = warned(&format!(
        "issuers: {{ x: {{ issuer: 'https://i', audience: none }} }}\n{HEAD}- {{ upstream: a, path: /a, issuers: [x] }}\n"
    ));

    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("issuers.x.audience: tokens that this issuer made for any"), "{lines:?}");
}
