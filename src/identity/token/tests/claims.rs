//! What the claims must say, and when they hold.

use super::*;

#[test]
fn claims_of_a_wrong_type_are_never_taken_as_absent() {
    for (member, wrong) in [
        ("exp", json!("1800000900")),
        ("exp", json!(1.8e9)),
        ("exp", json!(-1)),
        ("exp", Value::Null),
        ("iat", json!("1800000000")),
        ("iat", Value::Null),
        ("iat", json!([])),
        ("nbf", json!("x")),
        ("nbf", Value::Null),
        ("nbf", json!(true)),
        ("nbf", json!(1.5)),
        ("iss", json!(["https://gateway.example"])),
        ("iss", json!(1)),
        ("aud", json!(1)),
        ("aud", json!({ "portcullis": true })),
        ("aud", json!([1, "portcullis"])),
        ("aud", Value::Null),
        ("sub", json!("alice")),
        ("sub", json!(1)),
        ("jti", json!("1")),
        ("sid", Value::Null),
        ("ver", json!("4")),
        ("ver", json!(-4)),
        ("roles", json!("admin")),
        ("roles", json!({ "admin": true })),
        ("roles", json!([["admin"]])),
        ("roles", Value::Null),
        ("preferred_username", json!(1)),
        ("email", Value::Null),
        ("email", json!(["a@b"])),
        ("scope", json!(["read"])),
        ("scope", Value::Null),
    ] {
        let claims = with(claims(), member, wrong);
        assert_eq!(answer(&header(), &claims), Err(TokenError::Invalid), "{claims}");
    }
}

#[test]
fn every_claim_but_nbf_email_and_scope_is_required() {
    for name in ["iss", "sub", "aud", "exp", "iat", "jti", "sid", "ver", "roles", "preferred_username"] {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        assert_eq!(answer(&header(), &claims), Err(TokenError::Invalid), "{name}");
    }
    assert!(answer(&header(), &claims()).is_ok());
}

#[test]
fn issuer_and_audience_match_exactly() {
    for iss in ["https://gateway.example/", "https://gateway.example.attacker", "HTTPS://gateway.example", ""]
    {
        assert_eq!(answer(&header(), &with(claims(), "iss", json!(iss))), Err(TokenError::Invalid), "{iss}");
    }
    for aud in [
        json!("portcullis2"),
        json!("port"),
        json!(""),
        json!([]),
        json!(["other"]),
        json!("other portcullis"),
    ] {
        assert_eq!(answer(&header(), &with(claims(), "aud", aud.clone())), Err(TokenError::Invalid), "{aud}");
    }
    assert!(answer(&header(), &with(claims(), "aud", json!(["other", "portcullis"]))).is_ok());
}

#[test]
fn nothing_that_would_change_in_a_header_gets_through() {
    for role in [
        "user,admin",
        "user\nadmin",
        "user\r\nX-Admin: 1",
        "user\0",
        "Admin",
        "",
        " admin",
        "ad min",
        "ädmin",
    ] {
        assert_eq!(
            answer(&header(), &with(claims(), "roles", json!([role]))),
            Err(TokenError::Invalid),
            "{role:?}"
        );
    }
    assert_eq!(answer(&header(), &with(claims(), "email", json!("ä"))), Err(TokenError::Invalid));
    for text in ["a,b", "a\r\nb", "a\0", "", "a b", "a\u{7f}", "ä b", "ä\u{1f}"] {
        for member in ["preferred_username", "email"] {
            assert_eq!(
                answer(&header(), &with(claims(), member, json!(text))),
                Err(TokenError::Invalid),
                "{text:?}"
            );
        }
    }
    for scope in ["", " ", "read  write", "read\nwrite", "a,b"] {
        assert_eq!(
            answer(&header(), &with(claims(), "scope", json!(scope))),
            Err(TokenError::Invalid),
            "{scope:?}"
        );
    }
}

#[test]
fn an_address_that_fits_no_header_is_left_out_rather_than_locking_its_owner_out() {
    let identity = Identity { email: Some("ä@example.org".to_owned()), ..alice() };

    let read = ring().verify(&ring().mint(&identity), at(ISSUED)).unwrap();

    assert_eq!(read, Identity { email: None, ..alice() });
}

#[test]
fn time_is_enforced_to_the_second_with_leeway() {
    let token = ring().mint(&alice());
    let later = signed(&header().to_string(), &with(claims(), "nbf", json!(ISSUED + 100)).to_string());

    for (token, second, expected) in [
        (&token, EXPIRES + 29, None),
        (&token, EXPIRES + 30, Some(TokenError::Expired)),
        (&token, u64::from(u32::MAX), Some(TokenError::Expired)),
        (&token, ISSUED - 30, None),
        (&token, ISSUED - 31, Some(TokenError::NotYetValid)),
        (&later, ISSUED + 70, None),
        (&later, ISSUED + 69, Some(TokenError::NotYetValid)),
    ] {
        let ring = ring();
        assert_eq!(ring.verify(token, at(second)).err(), expected, "{second}");
        assert_eq!(ring.verify_cached(token, at(second)).err(), expected, "{second}");
    }
}

/// 900 seconds, and the leeway.
#[test]
fn no_token_counts_for_longer_than_new_ones_live() {
    let long = with(claims(), "exp", json!(ISSUED + 100_000));
    let token = signed(&header().to_string(), &long.to_string());

    let read = ring().verify(&token, at(ISSUED + 929)).map(|identity| identity.expires_at);

    assert_eq!(read, Ok(ISSUED + 900));
    assert_eq!(ring().verify(&token, at(ISSUED + 930)), Err(TokenError::Expired));
}

#[test]
fn more_than_a_minute_is_never_forgiven() {
    let mut lax = tokens(vec![hs256("k1", SECRET)]);
    lax.leeway = Duration::from_secs(3600);
    let ring = KeyRing::new(&lax).unwrap();
    let token = ring.mint(&alice());

    assert!(ring.verify(&token, at(EXPIRES + 59)).is_ok());
    assert_eq!(ring.verify(&token, at(EXPIRES + 60)), Err(TokenError::Expired));
}

#[test]
fn dates_at_the_end_of_the_number_range_do_not_wrap() {
    let far = with(with(claims(), "exp", json!(u64::MAX)), "nbf", json!(0));
    assert!(answer(&header(), &far).is_ok());
    assert_eq!(answer(&header(), &with(far, "iat", json!(u64::MAX))), Err(TokenError::NotYetValid));
}
