//! Files on a real disk.

use std::path::Path;

use portcullis::config::policy::KeyMaterial;
use portcullis::server::load;

const SECRET: &str = "4pJmWq0v5hK9sXr2Tn8bYc1dZf6gLa3eUi7oRw+/QkM=";

fn said_about(path: &Path) -> String {
    let problems = load::load(path).expect_err("the file is wrong");
    load::render(&problems).replace(&path.display().to_string(), "gateway.yaml")
}

#[test]
fn a_secret_is_read_from_a_file_beside_the_yaml() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.yaml");
    std::fs::write(folder.path().join("jwt"), format!("{SECRET}\n")).unwrap();
    std::fs::write(&path, "tokens: { keys: [{ id: k1, algorithm: HS256, secret: { file: jwt } }] }").unwrap();

    let policy = load::load(&path).unwrap().policy;

    let KeyMaterial::Shared(secret) = &policy.tokens.keys[0].material else {
        panic!("HS256 has a shared secret");
    };
    assert_eq!(secret.expose(), SECRET.as_bytes());
    assert!(!format!("{policy:?}").contains(SECRET));
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.yaml");

    assert_eq!(said_about(&path), "gateway.yaml: there is no such file\n");

    std::fs::write(&path, b"version: 1\n\xff").unwrap();
    assert_eq!(said_about(&path), "gateway.yaml: line 2 isn't UTF-8 text\n");

    std::fs::write(&path, " ".repeat((16 << 20) + 1)).unwrap();
    assert_eq!(said_about(&path), "gateway.yaml: the file is larger than 16 MiB\n");

    let tls = "listen: { proxy: [{ address: '127.0.0.1:0', tls: { cert: none.pem, key: gateway.yaml } }] }";
    std::fs::write(&path, tls).unwrap();
    assert_eq!(
        said_about(&path),
        "gateway.yaml:1:58 listen.proxy[0].tls.cert: none.pem: there is no such file\n\
         gateway.yaml:1:73 listen.proxy[0].tls.key: gateway.yaml holds no PEM block `PRIVATE KEY`\n"
    );
}
