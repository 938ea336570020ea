//! What comes from a variable or a file may be a secret, whatever key it is put under: no message shows it.

use std::path::PathBuf;

use portcullis::config::problem::Problem;
use portcullis::config::substitute::Surroundings;
use portcullis::server::load;
use serde_json::{Value, json};

use crate::surroundings::said;

/// In every line of every secret.
const MARK: &str = "zQ7hush9Kx";

/// A machine on which every variable and file is this secret.
struct Holding(&'static str);

impl Surroundings for Holding {
    fn variable(&self, _name: &str) -> Option<String> {
        Some(self.0.to_owned())
    }

    fn file(&self, path: &str) -> Result<String, String> {
        if path == "secret" { Ok(self.0.to_owned()) } else { Err("there is no such file".to_owned()) }
    }

    fn locate(&self, path: &str) -> PathBuf {
        path.into()
    }
}

const SECRETS: [&str; 5] = [
    "zQ7hush9Kx",
    "zQ7hush9Kx and \"zQ7hush9Kx\"",
    "postgres://user:zQ7hush9Kx@zQ7hush9Kx:99999/zQ7hush9Kx?sslpassword=zQ7hush9Kx#zQ7hush9Kx",
    "-----BEGIN PRIVATE KEY-----\nzQ7hush9KxAAAA\nzQ7hush9KxBBBB\n-----END PRIVATE KEY-----",
    "-----BEGIN CERTIFICATE-----\nzQ7hush9KxAAAA\n-----END CERTIFICATE-----\nzQ7hush9KxCCCC",
];

/// Every place of a value that the schema knows, as a whole file with this value there.
fn places(schema: &Value, value: &Value, found: &mut Vec<Value>, around: &dyn Fn(Value) -> Value) {
    for form in schema["anyOf"].as_array().into_iter().flatten() {
        places(form, value, found, around);
    }
    let mut is_inner = false;
    for (key, below) in schema["properties"].as_object().into_iter().flatten() {
        is_inner = true;
        places(below, value, found, &|inner| around(json!({ key.as_str(): inner })));
    }
    if schema["additionalProperties"].is_object() {
        is_inner = true;
        places(&schema["additionalProperties"], value, found, &|inner| around(json!({ "name": inner })));
    }
    if schema["items"].is_object() {
        is_inner = true;
        places(&schema["items"], value, found, &|inner| around(json!([inner])));
    }
    if !is_inner && schema["anyOf"].is_null() {
        found.push(around(value.clone()));
    }
}

fn problems(file: &Value, secret: &'static str) -> Vec<Problem> {
    match load::load_text("gateway.yaml", &file.to_string(), &Holding(secret)) {
        Ok(compiled) => compiled.warnings,
        Err(problems) => problems,
    }
}

#[test]
fn no_message_shows_what_a_variable_or_a_file_holds() {
    let schema: Value = serde_json::from_str(include_str!("../../gateway.schema.json")).expect("JSON");
    let forms = [json!("${SECRET}"), json!({ "file": "secret" }), json!("x ${SECRET}:1")];
    let mut files = Vec::new();
    for form in &forms {
        places(&schema, form, &mut files, &|value| value);
    }
    assert!(files.len() > 600, "{} places", files.len());

    for secret in SECRETS {
        for file in &files {
            let said = said(&problems(file, secret));
            assert!(!said.contains(MARK), "{file}\n{said}");
        }
    }
}

#[test]
fn a_key_in_the_form_of_every_other_pem_is_taken_and_never_shown() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a valid name");
    let folder = tempfile::tempdir().expect("writable");
    let path = folder.path().join("gateway.yaml");
    std::fs::write(folder.path().join("c.pem"), made.cert.pem()).expect("writable");
    let key = made.signing_key.serialize_pem();
    let file = "listen: { proxy: [{ address: '127.0.0.1:0', tls: { cert: c.pem, key: { file: k.pem } } }] }";
    std::fs::write(&path, file).expect("writable");

    std::fs::write(folder.path().join("k.pem"), &key).expect("writable");
    assert!(load::load(&path).is_ok());

    let cut = &key[..key.len() / 2];
    std::fs::write(folder.path().join("k.pem"), cut).expect("writable");
    let said = said(&load::load(&path).expect_err("half of a key is none"));
    assert!(cut.lines().skip(1).all(|line| line.is_empty() || !said.contains(line)), "{said}");
    assert!(said.contains("listen.proxy[0].tls.key"), "{said}");
}
