use std::path::Path;

use portcullis::server::load;

const REPLACED: [&str; 5] =
    ["flask-limiter", "fastapi-redis", "fastapi-blacklist", "flask-user-resource", "flask-rbac"];

#[test]
fn the_examples_compile_with_a_word_about_registration_and_what_their_clients_need() {
    for name in REPLACED {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/replaced/{name}.yaml"));

        let compiled = load::load_tested(&path).map_err(|problems| load::render(&problems)).unwrap();

        let warned = load::render(&compiled.warnings);
        let count = warned.lines().filter(|line| line.contains("warning")).count();
        assert_eq!(count, if name == "flask-user-resource" { 3 } else { 1 }, "{name}: {warned}");
        assert!(warned.contains("auth.registration: anybody can make an account"), "{warned}");
        assert_eq!(compiled.policy.listen.admin.to_string(), "127.0.0.1:9090", "{name}");
    }
}

#[test]
fn the_shipped_file_compiles_with_a_word_about_its_open_registration() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("gateway.yaml");

    let compiled = load::load(&path).map_err(|problems| load::render(&problems)).unwrap();

    let warned = load::render(&compiled.warnings);
    assert_eq!(warned.lines().filter(|line| line.contains("warning")).count(), 1, "{warned}");
    assert!(warned.contains("auth.registration: anybody can make an account"), "{warned}");
    assert!(compiled.policy.tokens.keys.is_empty());
    assert!(compiled.policy.routes.routes().iter().any(|route| route.path == "/expensive"));
}

/// What takes a password or a code, or sends mail.
const LIMITED: [&str; 12] = [
    "login",
    "register",
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
];

#[test]
fn no_shipped_file_drops_the_limit_of_an_endpoint() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let replaced = REPLACED.iter().map(|name| format!("examples/replaced/{name}.yaml"));
    for file in replaced.chain(["gateway.yaml".to_owned()]) {
        let policy =
            load::load(&root.join(&file)).map_err(|problems| load::render(&problems)).unwrap().policy;
        for endpoint in LIMITED {
            let name = format!("auth:{endpoint}");
            let mut routes = policy.routes.routes().iter().filter(|route| route.name == name).peekable();
            assert!(routes.peek().is_some(), "{file}: {name}");
            for route in routes {
                assert!(!route.limits.is_empty(), "{file}: {name} at {}", route.path);
            }
        }
    }
}
