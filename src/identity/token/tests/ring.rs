//! Which keys a ring takes, and what it does with several.

use super::*;

#[test]
fn every_algorithm_verifies_what_it_mints() {
    for configured in [hs256("k", SECRET), rs256("k"), es256("k"), eddsa("k")] {
        let ring = KeyRing::new(&tokens(vec![configured.clone()])).unwrap();

        let token = ring.mint(&alice());

        assert_eq!(ring.verify(&token, at(ISSUED)), Ok(alice()), "{:?}", configured.algorithm);
        let other = KeyRing::new(&tokens(vec![hs256("k", OTHER_SECRET)])).unwrap();
        assert_eq!(other.verify(&token, at(ISSUED)), Err(TokenError::Invalid));
    }
}

#[test]
fn the_first_key_signs_and_all_verify() {
    let old = KeyRing::new(&tokens(vec![hs256("old", SECRET)])).unwrap();
    let both = KeyRing::new(&tokens(vec![es256("new"), hs256("old", SECRET)])).unwrap();

    assert_eq!(both.verify(&old.mint(&alice()), at(ISSUED)), Ok(alice()));
    assert_eq!(both.verify(&both.mint(&alice()), at(ISSUED)), Ok(alice()));
    assert_eq!(old.verify(&both.mint(&alice()), at(ISSUED)), Err(TokenError::Invalid));
}

#[test]
fn keys_that_would_not_protect_are_refused_with_their_place() {
    let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap().to_pkcs8v1().unwrap();
    let KeyMaterial::PrivatePem(ed_pem) = eddsa("x").material else { unreachable!() };
    let KeyMaterial::PrivatePem(ec_pem) = es256("x").material else { unreachable!() };
    let of = |algorithm, pem: &Secret| key("k2", algorithm, KeyMaterial::PrivatePem(pem.clone()));

    for (bad, problem) in [
        (hs256("k2", ""), "0 bytes"),
        (hs256("k2", &SECRET[..31]), "31 bytes"),
        (hs256("k2", "your-256-bit-secret-your-256-bit-secret"), "guessed"),
        (hs256("k2", &"x".repeat(64)), "guessed"),
        (hs256("k1", OTHER_SECRET), "taken"),
        (hs256("", OTHER_SECRET), "visible"),
        (hs256("k 2", OTHER_SECRET), "visible"),
        (key("k2", SigningAlgorithm::HS256, KeyMaterial::PrivatePem(ed_pem.clone())), "shared secret"),
        (key("k2", SigningAlgorithm::RS256, KeyMaterial::Shared(Secret::new(SECRET))), "private key in PEM"),
        (key("k2", SigningAlgorithm::ES256, private("PRIVATE KEY", p384.as_ref())), "P-256"),
        (of(SigningAlgorithm::ES256, &ed_pem), "P-256"),
        (of(SigningAlgorithm::EdDSA, &ec_pem), "Ed25519"),
        (of(SigningAlgorithm::RS256, &ec_pem), "RSA"),
        (of(SigningAlgorithm::RS256, &Secret::new("not a key")), "RSA"),
        (
            of(
                SigningAlgorithm::ES256,
                &Secret::new("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----"),
            ),
            "P-256",
        ),
        (of(SigningAlgorithm::EdDSA, &Secret::new([0xff, 0xfe])), "Ed25519"),
        (key("k2", SigningAlgorithm::RS256, private("PUBLIC KEY", &[0x30, 0x00])), "RSA"),
    ] {
        let error = KeyRing::new(&tokens(vec![hs256("k1", SECRET), bad])).unwrap_err();
        assert_eq!(error.index, 1);
        assert!(error.problem.contains(problem), "{error}");
        assert!(!error.problem.contains(SECRET));
    }
    assert!(KeyRing::new(&tokens(vec![])).is_err());
}

#[test]
fn sec1_and_pkcs1_keys_are_taken_too() {
    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let sec1 = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::EcPrivateKeyRfc5915Der<'_>>::as_der(
        &ec.private_key(),
    );
    let KeyMaterial::PrivatePem(rsa_pem) = rs256("x").material else { unreachable!() };
    let pkcs1 = EncodingKey::from_rsa_pem(rsa_pem.expose()).unwrap();

    for configured in [
        key("k", SigningAlgorithm::ES256, private("EC PRIVATE KEY", sec1.unwrap().as_ref())),
        key("k", SigningAlgorithm::RS256, private("RSA PRIVATE KEY", pkcs1.as_bytes())),
    ] {
        let ring = KeyRing::new(&tokens(vec![configured])).unwrap();
        assert_eq!(ring.verify(&ring.mint(&alice()), at(ISSUED)), Ok(alice()));
    }
}

#[test]
fn the_key_set_shows_public_keys_only() {
    let ring = KeyRing::new(&tokens(vec![hs256("h", SECRET), rs256("r"), es256("e"), eddsa("d")])).unwrap();

    let set = ring.jwks(&[]);

    let keys = set["keys"].as_array().unwrap();
    let shown: Vec<_> = keys.iter().map(|key| (&key["kid"], &key["alg"], &key["kty"], &key["use"])).collect();
    let sig = json!("sig");
    assert_eq!(
        shown,
        [
            (&json!("r"), &json!("RS256"), &json!("RSA"), &sig),
            (&json!("e"), &json!("ES256"), &json!("EC"), &sig),
            (&json!("d"), &json!("EdDSA"), &json!("OKP"), &sig),
        ]
    );
    for key in keys {
        for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            assert!(key.get(private).is_none(), "{key}");
        }
    }
    let token = KeyRing::new(&tokens(vec![es256("z")])).unwrap();
    let jwk = serde_json::from_value(token.jwks(&[])["keys"][0].clone()).unwrap();
    let public = jws::VerifyingKey {
        id: "z".into(),
        algorithm: Algorithm::ES256,
        key: DecodingKey::from_jwk(&jwk).unwrap(),
    };
    assert!(jws::verify_signature(&public, &token.mint(&alice())).is_ok(), "a backend can verify with it");
}

#[test]
fn generated_secrets_are_accepted_and_differ() {
    let (one, two) = (KeyRing::generate_secret(), KeyRing::generate_secret());

    assert_ne!(one, two);
    assert_eq!(one.expose().len(), 64);
    let configured = key("k", SigningAlgorithm::HS256, KeyMaterial::Shared(one));
    assert!(KeyRing::new(&tokens(vec![configured])).is_ok());
}
