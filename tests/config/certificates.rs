//! Certificates of listeners, and those that are trusted: what can't work is told before anything listens.

use std::collections::HashMap;
use std::path::PathBuf;

use portcullis::config::substitute::Surroundings;
use portcullis::server::load;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use crate::surroundings::said;

/// A machine with these files, and perhaps a file of trusted certificates.
struct With {
    files: HashMap<&'static str, String>,
    trusted: Option<&'static str>,
}

impl Surroundings for With {
    fn variable(&self, name: &str) -> Option<String> {
        self.trusted.filter(|_| name == "SSL_CERT_FILE").map(str::to_owned)
    }

    fn file(&self, path: &str) -> Result<String, String> {
        self.files.get(path).cloned().ok_or_else(|| "there is no such file".to_owned())
    }

    fn locate(&self, path: &str) -> PathBuf {
        path.into()
    }
}

struct Pair {
    certificate: String,
    key: String,
}

fn pair(begin: i32, end: i32) -> Pair {
    let mut params = CertificateParams::new(["shop.example".to_owned()]).expect("a valid name");
    (params.not_before, params.not_after) = (date_time_ymd(begin, 1, 1), date_time_ymd(end, 1, 1));
    let key = KeyPair::generate().expect("randomness");
    let certificate = params.self_signed(&key).expect("a certificate").pem();
    Pair { certificate, key: key.serialize_pem() }
}

const FILE: &str = "listen: { proxy: [{ address: '0.0.0.0:443', tls: { cert: c.pem, key: k.pem } }] }\n\
                    upstreams: { a: { servers: [a:1] } }\n\
                    routes: [{ path: /a, host: HOST, upstream: a, access: public }]";

fn said_of(certificate: &str, key: &str, host: &str) -> String {
    let files = HashMap::from([("c.pem", certificate.to_owned()), ("k.pem", key.to_owned())]);
    let machine = With { files, trusted: None };
    match load::load_text("gateway.yaml", &FILE.replace("HOST", host), &machine) {
        Ok(compiled) => said(&compiled.warnings),
        Err(problems) => said(&problems),
    }
}

#[test]
fn a_pair_that_no_listener_can_use_is_refused_at_its_place() {
    let (one, other) = (pair(2020, 2090), pair(2020, 2090));

    let stranger = said_of(&one.certificate, &other.key, "shop.example");
    assert!(
        stranger.contains("listen.proxy[0].tls.key: k.pem: the key belongs to another certificate"),
        "{stranger}"
    );
    let cut = said_of(&one.certificate[..200], &one.key, "shop.example");
    assert!(cut.contains("listen.proxy[0].tls.cert: c.pem: a PEM block is damaged or cut off"), "{cut}");
    let marked = said_of(&format!("\u{feff}{}", one.certificate), &one.key, "shop.example");
    assert!(marked.contains("byte order mark"), "{marked}");
}

#[test]
fn what_clients_will_refuse_is_warned_of() {
    let (good, over, early) = (pair(2020, 2090), pair(2000, 2001), pair(2080, 2090));
    let warned = |pair: &Pair, host: &str| said_of(&pair.certificate, &pair.key, host);

    assert!(!warned(&good, "shop.example").contains("certificate"));
    assert!(
        warned(&over, "shop.example")
            .contains("warning: listen.proxy[0].tls.cert: the certificate expired on 2001")
    );
    assert!(warned(&early, "shop.example").contains("isn't valid before 2080"));
    assert!(warned(&good, "other.example").contains("no certificate names other.example"));
}

#[test]
fn a_file_of_trusted_certificates_that_is_none_is_refused() {
    let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let leaf = pair(2020, 2090).certificate;
    let files = HashMap::from([("empty", String::new()), ("damaged", damaged.to_owned()), ("leaf", leaf)]);
    let said_of = |trusted: &'static str| {
        let machine = With { files: files.clone(), trusted: Some(trusted) };
        match load::load_text("gateway.yaml", "version: 1", &machine) {
            Ok(compiled) => said(&compiled.warnings),
            Err(problems) => said(&problems),
        }
    };

    assert!(said_of("none").contains("SSL_CERT_FILE: there is no such file"), "{}", said_of("none"));
    assert!(said_of("empty").contains("SSL_CERT_FILE: holds no PEM block `CERTIFICATE`"));
    assert!(said_of("damaged").contains("SSL_CERT_FILE: certificate 1 is damaged"));
    assert!(said_of("leaf").contains("holds no authority's certificate"));
}
