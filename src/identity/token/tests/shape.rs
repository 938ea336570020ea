//! What a token must look like before its claims are asked: text, header, signature.

use super::*;

#[test]
fn headers_in_another_spelling_are_read_by_their_meaning() {
    for good in [
        header(),
        with(header(), "typ", json!("AT+JWT")),
        with(header(), "typ", json!("application/at+jwt")),
        // Class 8: keys and addresses of keys in the header are not even looked at.
        with(header(), "jku", json!("https://attacker.example/jwks")),
        with(header(), "x5u", json!(7)),
        with(header(), "jwk", json!({ "kty": "oct", "k": "AA" })),
        with(header(), "x5c", json!(["AA"])),
    ] {
        assert!(answer(&good, &claims()).is_ok(), "{good}");
    }
}

#[test]
fn headers_that_are_not_ours_are_invalid() {
    for bad in [
        // Classes 1 and 3: the header selects no algorithm.
        with(header(), "alg", json!("none")),
        with(header(), "alg", json!("None")),
        with(header(), "alg", json!("hs256")),
        with(header(), "alg", json!("HS384")),
        with(header(), "alg", json!("RS256")),
        with(header(), "alg", json!(["HS256"])),
        with(header(), "alg", Value::Null),
        // Class 7: a kid is compared, nothing else.
        with(header(), "kid", json!("K1")),
        with(header(), "kid", json!("")),
        with(header(), "kid", json!("../../../../dev/null")),
        with(header(), "kid", json!("k1' OR '1'='1")),
        with(header(), "kid", json!(1)),
        with(header(), "kid", Value::Null),
        // Classes 9 and 14.
        with(header(), "crit", json!(["exp"])),
        with(header(), "crit", json!([])),
        with(header(), "crit", Value::Null),
        with(header(), "b64", json!(false)),
        with(header(), "b64", json!(true)),
        with(header(), "zip", json!("DEF")),
        with(header(), "enc", json!("A256GCM")),
        // Class 16: other kinds of JWT.
        with(header(), "typ", json!("JWT")),
        with(header(), "typ", json!("rt+jwt")),
        with(header(), "typ", json!("")),
        with(header(), "typ", Value::Null),
        json!({ "alg": "HS256", "kid": "k1" }),
        json!({ "alg": "HS256", "typ": "at+jwt" }),
        json!({ "kid": "k1", "typ": "at+jwt" }),
        json!(["HS256", "k1", "at+jwt"]),
        json!("HS256"),
    ] {
        assert_eq!(answer(&bad, &claims()), Err(TokenError::Invalid), "{bad}");
    }
}

#[test]
fn names_that_occur_twice_are_refused() {
    let good_header = header().to_string();
    let good_claims = claims().to_string();
    let twice = |json: &str, member: &str| json.replacen('{', &format!("{{{member},"), 1);

    for (header, claims) in [
        (twice(&good_header, r#""alg":"HS256""#), good_claims.clone()),
        (twice(&good_header, r#""x":1,"x":1"#), good_claims.clone()),
        (good_header.clone(), twice(&good_claims, r#""exp":9999999999"#)),
        (good_header.clone(), twice(&good_claims, r#""role\u0073":["admin"]"#)),
        (good_header.clone(), twice(&good_claims, r#""x":{"y":1,"y":2}"#)),
    ] {
        assert_eq!(
            ring().verify(&signed(&header, &claims), at(ISSUED)),
            Err(TokenError::Invalid),
            "{header} {claims}"
        );
    }
    assert!(ring().verify(&signed(&good_header, &twice(&good_claims, r#""x":1"#)), at(ISSUED)).is_ok());
}

#[test]
fn other_shapes_than_three_segments_are_malformed() {
    let token = ring().mint(&alice());
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (head, payload) = message.split_once('.').unwrap();

    for text in [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        "a".into(),
        "a.b".into(),
        "\0.\0.\0".into(),
        message.to_owned(),
        format!("{message}."),
        format!(".{payload}.{signature}"),
        format!("{head}..{signature}"),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}.{signature}"),
        format!("{head}.a.b.c.{signature}"),
        format!("{head}={}", &token[head.len()..]),
        format!("{token}="),
        format!("{token}=="),
        format!(" {token}"),
        format!("{token} "),
        format!("{token}\n"),
        format!("{message}.{}", signature.replace(['-', '_'], "+") + "+"),
        format!("{head}.{payload}?.{signature}").replace(head, "bm8"),
        format!(r#"{{"payload":"{payload}","protected":"{head}","signature":"{signature}"}}"#),
        ".".repeat(8000),
        format!("{}.{payload}.{signature}", "A".repeat(8192)),
        format!("{}.{payload}.{signature}", URL_SAFE_NO_PAD.encode("not JSON")),
    ] {
        assert_eq!(ring().verify(&text, at(ISSUED)), Err(TokenError::Malformed), "{text:?}");
    }
}

#[test]
fn a_signature_has_one_spelling() {
    // 32 bytes leave two unused bits in the last character: four characters decode alike when
    // these are ignored.
    let token = ring().mint(&alice());
    let (start, end) = token.split_at(token.len() - 1);

    let accepted: String =
        ('!'..='~').filter(|last| ring().verify(&format!("{start}{last}"), at(ISSUED)).is_ok()).collect();

    assert_eq!(accepted, end);
}

#[test]
fn a_public_key_is_no_shared_secret() {
    let configured = rs256("k1");
    let KeyMaterial::PrivatePem(pem) = &configured.material else { unreachable!() };
    let signing = EncodingKey::from_rsa_pem(pem.expose()).unwrap();
    let pair = RsaKeyPair::from_der(signing.as_bytes()).unwrap();
    let public: &[u8] = aws_lc_rs::signature::KeyPair::public_key(&pair).as_ref();
    let ring = KeyRing::new(&tokens(vec![configured.clone()])).unwrap();

    for header in [header(), with(header(), "alg", json!("RS256"))] {
        let message = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(claims().to_string())
        );
        let forged =
            crypto::sign(message.as_bytes(), &EncodingKey::from_secret(public), Algorithm::HS256).unwrap();
        assert_eq!(ring.verify(&format!("{message}.{forged}"), at(ISSUED)), Err(TokenError::Invalid));
    }
}

#[test]
fn algorithms_we_do_not_sign_with_are_refused_even_with_their_key() {
    let secret = SECRET.repeat(2);
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        let message = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(json!({ "alg": format!("{algorithm:?}"), "kid": "k1" }).to_string()),
            URL_SAFE_NO_PAD.encode("{}")
        );
        let signature =
            crypto::sign(message.as_bytes(), &EncodingKey::from_secret(secret.as_bytes()), algorithm)
                .unwrap();
        let key = jws::VerifyingKey {
            id: "k1".into(),
            algorithm,
            key: DecodingKey::from_secret(secret.as_bytes()),
        };

        assert_eq!(jws::verify_signature(&key, &format!("{message}.{signature}")), Err(TokenError::Invalid));
    }
}
