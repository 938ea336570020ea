use chrono::{TimeDelta, Utc};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SerialNumber};

use super::{Certificate, Fault};

struct Made {
    chain: String,
    own: String,
    issuer: String,
    key: String,
}

/// A certificate of an authority, for `shop.example` and everything beneath `api.example`.
fn made(ends: TimeDelta) -> Made {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "An authority");
    let authority_key = KeyPair::generate().unwrap();
    let issuer = authority.self_signed(&authority_key).unwrap().pem();
    let names = vec!["shop.example".to_owned(), "*.api.example".to_owned(), "192.0.2.7".to_owned()];
    let mut params = CertificateParams::new(names).unwrap();
    let now = Utc::now();
    let moment = |at: chrono::DateTime<Utc>| {
        use chrono::Datelike;
        rcgen::date_time_ymd(at.year(), u8::try_from(at.month()).unwrap(), u8::try_from(at.day()).unwrap())
    };
    params.not_before = moment(now - TimeDelta::days(400));
    params.not_after = moment(now + ends);
    params.serial_number = Some(SerialNumber::from_slice(&[0x0a, 0xb1, 0xff]));
    let key = KeyPair::generate().unwrap();
    let own = params.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap().pem();
    Made { chain: format!("{own}{issuer}"), own, issuer, key: key.serialize_pem() }
}

#[test]
fn a_pair_is_read_with_what_it_says_of_itself() {
    let made = made(TimeDelta::days(90));

    let certificate = Certificate::read(&made.chain, &made.key).unwrap();

    assert_eq!(certificate.facts.serial, "0AB1FF");
    assert_eq!(certificate.certified().cert.len(), 2);
    assert_eq!(certificate.facts.warnings(Utc::now()), Vec::<String>::new());
    for (host, covered) in [
        ("shop.example", true),
        ("eu.api.example", true),
        ("192.0.2.7", true),
        ("api.example", false),
        ("a.b.api.example", false),
        ("other.example", false),
    ] {
        assert_eq!(certificate.facts.covers(host), covered, "{host}");
    }
    assert!(!format!("{certificate:?}").contains("PRIVATE"));
}

#[test]
fn what_the_library_cant_use_is_refused_with_its_reason() {
    let (made, other) = (made(TimeDelta::days(90)), made(TimeDelta::days(90)));
    let reversed = format!("{}{}", made.issuer, made.own);
    let with_mark = format!("\u{feff}{}", made.chain);
    let cut = &made.chain[..made.chain.len() - 40];
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let garbage = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let cases: [(&str, &str, bool, &str); 8] = [
        (&made.chain, &other.key, true, "another certificate"),
        (&reversed, &made.key, false, "wrong order"),
        (&with_mark, &made.key, false, "byte order mark"),
        (cut, &made.key, false, "cut off"),
        (&made.chain, encrypted, true, "encrypted"),
        (&made.chain, garbage, true, "can't use this key"),
        (&made.chain, &made.own, true, "no PEM block `PRIVATE KEY`"),
        (&made.key, &made.key, false, "no PEM block `CERTIFICATE`"),
    ];

    for (chain, key, concerns_key, reason) in cases {
        let fault = Certificate::read(chain, key).unwrap_err();
        let (is_key, message) = match &fault {
            Fault::Certificate(message) => (false, message),
            Fault::Key(message) => (true, message),
        };
        assert!(is_key == concerns_key && message.contains(reason), "{reason}: {fault:?}");
        assert!(!message.contains("AAAA"), "{message}");
    }
}

#[test]
fn what_clients_will_refuse_is_said() {
    let now = Utc::now();
    let warn =
        |chain: &str, key: &str, at| Certificate::read(chain, key).unwrap().facts.warnings(at).join("\n");
    let fresh = made(TimeDelta::days(90));
    let soon = made(TimeDelta::days(10));
    let doubled = format!("{}{}{}", fresh.own, soon.issuer, fresh.own);

    assert!(warn(&soon.chain, &soon.key, now).contains("renew it"));
    assert!(warn(&soon.chain, &soon.key, now + TimeDelta::days(30)).contains("expired on"));
    assert!(warn(&fresh.chain, &fresh.key, now - TimeDelta::days(500)).contains("isn't valid before"));
    assert!(warn(&fresh.own, &fresh.key, now).contains("append the intermediate"));
    assert!(
        warn(&doubled, &fresh.key, now)
            .contains("certificate 3 of the chain isn't the issuer of certificate 2")
    );
}
