use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::config::policy::Argon2Params;
use crate::identity::password::{self, Hasher};

const CHEAP: Argon2Params = Argon2Params { memory_kib: 64, iterations: 1, parallelism: 1 };

const PASSWORD: &str = "correct horse battery";

/// Of [`PASSWORD`], made with the bcrypt, passlib, Werkzeug, Django, hashlib and argon2-cffi of
/// Python.
const MADE_ELSEWHERE: &[&str] = &[
    "$2a$05$PUJYxwkDhOFYqvMjJCgt/ONX/Vc952/LFJUtnVuSRafCMnI6x.9XS",
    "$2b$05$Kcst30rdEJZ4lKuuktTbc.VE8lw2iKwlbyJ7wlcwTXR.oKkyAgZBK",
    "$2y$05$SrhASD5MVNJYEnV.UohAK.Ih.EMcuUilgtyn37629tR72z47kvsm6",
    "$pbkdf2-sha256$1000$bG0NwZgTopTSuhdizBmDcA$W2XkNsAvkm4OOwD1/SGNaRzUqxHLMmtaqi3F2M2Lau8",
    "$pbkdf2-sha512$1000$/V9rDWHMubdWSinFuNc6xw$xrUX6ErzWfJchtOK1CNTEktKJ1UN9yzSw9ImNauJBByG8fOSHoYE.8adpJ92pBIZpiGQLRm0sA.erSUkbQrOuw",
    "$scrypt$ln=8,r=8,p=1$w/ifs3bu3btXSqn1vldKqQ$1Ggk4lryWxHRyXbssFJ7dyxuSaUYggo+1nXPIePI++Y",
    "pbkdf2:sha256:1000$K8x9A6YMT3b4esmc$73ad00ee7e44a5f625e275706fb4d1f55ea86473161cfa8ccfcb0bc2a242e14b",
    "pbkdf2:sha512:1000$eVhAQXAkIZnr91en$37d3ee8b4c7e6a15afe5ed62f6d3eeee468f038a471e46e09b1aabb2116b3a80187f336251a8d232366faeb3800d261d91e81ec8d112a23ac9d49613aad39b74",
    "scrypt:1024:8:1$NjOjkQ0SgN11NcHA$215699582f12c1791a0cc6d56af40eb2bb3638a721327a91ceb33a2b9a015590930bd0660a6806dfc014243bf49b8777857cf141b8bcac35a5a3d901091429ce",
    "pbkdf2_sha256$1000$seasalt2$/AgPzJG5e6Yv25JIyxyWfNnB6QXmfp0Y+BEGfC3zoJE=",
    "$pbkdf2-sha256$i=1000,l=32$yMnKy8zNzs/Q0dLT1NXW1w$f7QmfEsrJ+6B1wS+aSt9ihj2PkMFNH0fXQqzfxKqycQ",
    "$pbkdf2-sha512$i=1000,l=32$yMnKy8zNzs/Q0dLT1NXW1w$LUjErv9BACMii6bJOrvqgQd17MC/TMZTRZ/Vr/LWRVg",
    "$argon2i$v=19$m=64,t=1,p=1$sRWnxW08TH4HDY3RLzrolA$mQcVLJY5SnLUfKyXOrnrJ15VWqpoLO+cq5vZ8IsTXpw",
    "$argon2d$v=19$m=64,t=1,p=1$jmkNfCSwbOqsVXAx0Dp1TA$kYqUSU6GAycyb/yzTZWYNlUGuYC3GhB41chrgIldf1Y",
    "$argon2id$v=19$m=64,t=1,p=1$YoMYWyibmUlq974iIclUbw$t/K7BZ6is/ECPSctv8YLLVCdM3l+NQ0qtE1StrZngqc",
    "argon2$argon2id$v=19$m=64,t=1,p=1$c1RxRWNvaTNtNWxZelRNOFlJbmJscw$chcsSdQkXOUaYQimfDEf6LTAnf85EV6T9CA7Ud+OPJc",
    "bcrypt$$2b$05$mmupyuqPQFgMvuLFU0OG3OvAYxTwAcvbEc0lyhBYMobEChCBX21YC",
    "bcrypt_sha256$$2b$05$E4woCa9zZft5TlYvcgGv3eOh0x1U1jJYzXljd/HP3lXDXOBAVsmji",
    "{bcrypt}$2a$05$PUJYxwkDhOFYqvMjJCgt/ONX/Vc952/LFJUtnVuSRafCMnI6x.9XS",
    "{argon2}$argon2id$v=19$m=64,t=1,p=1$YoMYWyibmUlq974iIclUbw$t/K7BZ6is/ECPSctv8YLLVCdM3l+NQ0qtE1StrZngqc",
    "{argon2@SpringSecurity_v5_8}$argon2id$v=19$m=64,t=1,p=1$YoMYWyibmUlq974iIclUbw$t/K7BZ6is/ECPSctv8YLLVCdM3l+NQ0qtE1StrZngqc",
];

/// Made by argon2-cffi and bcrypt, which hash what they are given: passwords that NFKC changes.
const NOT_NORMALIZED: &[(&str, &str)] = &[
    (
        "10 m² µ",
        "$argon2id$v=19$m=64,t=1,p=1$q1t/IlxV6shR5PuVhV9www$whQK/xVu6fC2gJErhvX2Y0EYhD/vCRdCZrxTvIcg2nY",
    ),
    (
        "re\u{301}sume\u{301} horse",
        "$argon2id$v=19$m=64,t=1,p=1$wIR8MiXeftELpRrzh0DbgA$X2VIT3I5qnvn7RckhnWyL9j2f7uasHVMEE4dD9gTu5w",
    ),
    ("re\u{301}sume\u{301} horse", "$2b$05$r8Yh.qeK9j1aMYLjKogFxeLhqYJkvi4x4Uzbkqa0MQ118ov4FdnLi"),
];

#[test]
fn a_password_that_nfkc_changes_verifies_as_the_other_program_hashed_it() {
    let mut hasher = Hasher::new(CHEAP);
    for (password, stored) in NOT_NORMALIZED {
        assert!(hasher.verify(password, stored), "{password} {stored}");
        assert!(password::verify(password, stored), "{password} {stored}");
        assert!(!hasher.verify("10 m2 μ", stored), "{stored} is of another text");
    }
    let ours = hasher.hash("10 m² µ");
    assert!(hasher.verify("10 m² µ", &ours) && hasher.verify("10 m2 μ", &ours), "ours are normalised");
}

#[test]
fn hashes_that_take_long_are_known_by_their_parameters() {
    let salt_and_hash = "c29tZXNhbHRzb21lc2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2g";
    for (stored, is_expensive) in [
        ("$2b$12$L2tMaEW7e5rMLiCabQj0petZbR744kAdel1fd5mAmx.JWkzpFUmBm".to_owned(), false),
        ("$2b$13$UD1VEEU8TQg3Brn27jKGqO4FCp9Yqb.F1LAeqN0/yp49bKLYxppuS".to_owned(), true),
        ("{bcrypt}$2b$13$UD1VEEU8TQg3Brn27jKGqO4FCp9Yqb.F1LAeqN0/yp49bKLYxppuS".to_owned(), true),
        (format!("$pbkdf2-sha256$i=600000${salt_and_hash}"), false),
        (format!("$pbkdf2-sha256$i=4000000${salt_and_hash}"), true),
        (format!("$scrypt$ln=16,r=8,p=1${salt_and_hash}"), false),
        (format!("$scrypt$ln=17,r=8,p=3${salt_and_hash}"), true),
        (format!("$argon2id$v=19$m=65536,t=3,p=4${salt_and_hash}"), false),
        (format!("$argon2id$v=19$m=1048576,t=1,p=4${salt_and_hash}"), true),
    ] {
        assert_eq!(password::check_stored(&stored), Ok(()), "{stored}");
        assert_eq!(password::is_expensive(&stored), is_expensive, "{stored}");
    }
}

#[test]
fn hashes_made_elsewhere_verify_and_are_upgraded() {
    let mut hasher = Hasher::new(CHEAP);
    for stored in MADE_ELSEWHERE {
        assert_eq!(password::check_stored(stored), Ok(()), "{stored}");
        assert!(hasher.verify(PASSWORD, stored), "{stored}");
        assert!(password::verify(PASSWORD, stored), "{stored}");
        for other in ["", "Correct horse battery", "correct horse battery ", "correct horse batter"] {
            assert!(!hasher.verify(other, stored), "{other:?} {stored}");
        }
        assert!(password::needs_upgrade(stored, Argon2Params { iterations: 2, ..CHEAP }), "{stored}");
    }
}

#[test]
fn bcrypt_counts_72_bytes_as_typed() {
    let long = "$2b$05$5rLkZndeTbTZZcx87ekHkOdAVqf9yTDpIMMacjmK2/XjIXdrvRvUO";
    assert!(verify(&"x".repeat(80), long));
    assert!(verify(&"x".repeat(72), long));
    assert!(!verify(&"x".repeat(71), long));

    let ligature = "$2b$05$1gtbCvgIs5cGWsY4sV1BNuqJ0RsfvszW5YEEWVJjcFA3rkM0FqccW";
    assert!(verify("ﬁn été", ligature));
    assert!(!verify("fin été", ligature), "the other program didn't normalise");
}

#[test]
fn a_changed_hash_does_not_verify() {
    for stored in MADE_ELSEWHERE.iter().filter(|stored| !stored.starts_with("$argon2")) {
        for at in [stored.len() - 10, stored.len() - 20] {
            let other = if stored.as_bytes()[at] == b'1' { "2" } else { "1" };
            let changed = format!("{}{other}{}", &stored[..at], &stored[at + 1..]);
            assert!(!verify(PASSWORD, &changed), "{changed}");
        }
    }
}

#[test]
fn what_would_exhaust_the_machine_is_refused_before_any_work() {
    let salt_and_hash = "c29tZXNhbHRzb21lc2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2g";
    let hex = "ab".repeat(32);
    let began = Instant::now();
    for hostile in [
        "$2b$16$L2tMaEW7e5rMLiCabQj0petZbR744kAdel1fd5mAmx.JWkzpFUmBm".to_owned(),
        "$2b$31$L2tMaEW7e5rMLiCabQj0petZbR744kAdel1fd5mAmx.JWkzpFUmBm".to_owned(),
        format!("$pbkdf2-sha256$i=4000001${salt_and_hash}"),
        format!("$pbkdf2-sha512$4294967296${salt_and_hash}"),
        format!("pbkdf2_sha256$99999999999999999999${salt_and_hash}"),
        format!("pbkdf2:sha256:2000001$salt${}", "ab".repeat(64)),
        format!("$scrypt$ln=19,r=8,p=1${salt_and_hash}"),
        format!("$scrypt$ln=4294967295,r=8,p=1${salt_and_hash}"),
        format!("$scrypt$ln=63,r=4294967295,p=4294967295${salt_and_hash}"),
        format!("$scrypt$ln=1,r=1,p=4294967295${salt_and_hash}"),
        format!("scrypt:32768:8:33$salt${hex}"),
        format!("scrypt:2147483648:8:1$salt${hex}"),
        format!("$argon2id$v=19$m=4294967295,t=1,p=1${salt_and_hash}"),
        format!("$argon2i$v=19$m=64,t=4294967295,p=1${salt_and_hash}"),
    ] {
        assert_eq!(password::check_stored(&hostile), Err(UNBEARABLE), "{hostile}");
        assert!(!password::verify(PASSWORD, &hostile), "{hostile}");
    }
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[test]
fn what_cannot_be_verified_is_refused_with_the_reason() {
    for (stored, reason) in [
        ("", UNKNOWN),
        (PASSWORD, UNKNOWN),
        ("5f4dcc3b5aa765d61d8327deb882cf99", UNKNOWN),
        ("$2x$05$L2tMaEW7e5rMLiCabQj0petZbR744kAdel1fd5mAmx.JWkzpFUmBm", UNKNOWN),
        ("pbkdf2:sha1:1000$salt$5f4dcc3b5aa765d61d8327deb882cf99", UNKNOWN),
        ("pbkdf2:sha256$salt$5f4dcc3b5aa765d61d8327deb882cf99", UNKNOWN),
        ("pbkdf2_sha1$1000$salt$c2FsdA==", UNKNOWN),
        ("$2b$05$L2tMaEW7e5rMLiCabQj0pe", DAMAGED),
        ("$2b$03$L2tMaEW7e5rMLiCabQj0petZbR744kAdel1fd5mAmx.JWkzpFUmBm", DAMAGED),
        ("$pbkdf2-sha256$i=0$c29tZXNhbHQ$aGFzaGhhc2hoYXNoaGFzaGhhc2g", DAMAGED),
        ("$pbkdf2-sha256$i=1000,l=32$c29tZXNhbHQ$aGFzaGhhc2hoYXNoaGFzaGhhc2g", DAMAGED),
        ("$pbkdf2-sha256$i=+1$c29tZXNhbHQ$aGFzaGhhc2hoYXNoaGFzaGhhc2g", DAMAGED),
        ("$pbkdf2-sha256$1000$$aGFzaGhhc2hoYXNoaGFzaGhhc2g", DAMAGED),
        ("pbkdf2:sha256:1000$salt$", DAMAGED),
        ("pbkdf2:sha256:1000$salt$5f4dcc3b", DAMAGED),
        ("pbkdf2:sha256:1000$salt$5f4dcc3b5aa765d61d8327deb882cf9", DAMAGED),
        ("scrypt:1000:8:1$salt$5f4dcc3b5aa765d61d8327deb882cf99", DAMAGED),
        ("scrypt:1024:0:1$salt$5f4dcc3b5aa765d61d8327deb882cf99", DAMAGED),
        ("$scrypt$r=8,ln=4,p=1$c29tZXNhbHQ$aGFzaGhhc2hoYXNoaGFzaGhhc2g", DAMAGED),
        ("$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ", DAMAGED),
        ("$argon2x$v=19$m=64,t=1,p=1$c29tZXNhbHQ$aGFzaGhhc2hoYXNo", DAMAGED),
    ] {
        assert_eq!(password::check_stored(stored), Err(reason), "{stored}");
        assert!(!password::verify(PASSWORD, stored), "{stored}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_text_makes_it_panic(text in ".{0,90}", fields in "[$:=,a-z0-9./+é]{0,90}") {
        for stored in [&text, &fields] {
            let _ = password::check_stored(stored);
            prop_assert!(!password::verify(PASSWORD, stored));
        }
    }

    /// Whatever parameters stand in a known form, checking them costs nothing and fails no other way.
    #[test]
    fn no_parameters_make_it_panic(
        form in 0..MADE_ELSEWHERE.len(),
        at in 0_usize..80,
        with in "[$:=,0-9a-z]{1,12}|é|[0-9]{1,22}",
    ) {
        let mut stored = MADE_ELSEWHERE[form].to_owned();
        let at = at.min(stored.len());
        let end = (at + with.len()).min(stored.len());
        stored.replace_range(at..end, &with);
        let _ = password::check_stored(&stored);
    }

    /// What is let through is computed, however odd it is, as long as it is cheap.
    #[test]
    fn odd_parameters_are_computed_or_refused(
        rounds in 0_u32..50, log_n in 0_u32..6, r in 0_u32..6, p in 0_u32..6,
        salt in "[A-Za-z0-9]{0,24}", hash in "([0-9a-f]{2}){0,70}",
    ) {
        for stored in [
            format!("pbkdf2:sha256:{rounds}${salt}${hash}"),
            format!("pbkdf2:sha512:{rounds}${salt}${hash}"),
            format!("scrypt:{}:{r}:{p}${salt}${hash}", 1 << log_n),
        ] {
            prop_assert!(!password::verify(PASSWORD, &stored), "{stored}");
        }
    }
}
