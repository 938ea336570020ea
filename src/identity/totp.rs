//! Codes of authenticator apps: TOTP (RFC 6238) with SHA-1, six digits and steps of 30 seconds, which is
//! what every app takes.

use std::ops::RangeInclusive;

use aws_lc_rs::{constant_time, hmac, rand};
use zeroize::Zeroizing;

use super::percent;

/// RFC 4226 §4 recommends 160 bits.
const SECRET: usize = 20;
/// Of other programs: some make 80 bits.
const IMPORTED_SECRETS: RangeInclusive<usize> = 10..=64;
const STEP_SECONDS: u64 = 30;
const DIGITS: usize = 6;
pub(super) const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

pub fn generate() -> Zeroizing<Vec<u8>> {
    let mut secret = Zeroizing::new(vec![0; SECRET]);
    rand::fill(&mut secret).expect("the system has randomness");
    secret
}

/// Whether a text has the form of a code.
pub fn is_code(text: &str) -> bool {
    text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The step whose code this is: the present one, the one before or the one to come, since clocks differ
/// and people type (RFC 6238 §5.2). `now` in seconds since the Unix epoch.
pub fn matching_step(secret: &[u8], code: &str, now: u64) -> Option<u64> {
    let present = now / STEP_SECONDS;
    let steps = present.saturating_sub(1)..=present + 1;
    let is_right = |step: &u64| {
        constant_time::verify_slices_are_equal(self::code(secret, *step).as_bytes(), code.as_bytes()).is_ok()
    };
    // All of them, so that time doesn't tell which.
    steps.fold(None, |found, step| if is_right(&step) { Some(step) } else { found })
}

/// What the app shows at that step (RFC 4226 §5.3).
pub fn code(secret: &[u8], step: u64) -> String {
    digits(secret, step, DIGITS)
}

fn digits(secret: &[u8], step: u64, digits: usize) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let mac = hmac::sign(&key, &step.to_be_bytes());
    let mac = mac.as_ref();
    let offset = usize::from(mac[19] & 0x0f);
    let mut word = [0; 4];
    word.copy_from_slice(&mac[offset..offset + 4]);
    let number = u32::from_be_bytes(word) & 0x7fff_ffff;
    format!("{:0digits$}", u64::from(number) % 10_u64.pow(digits as u32))
}

/// Base32 without padding (RFC 4648 §6), as apps take a secret that is typed.
pub fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut held, mut bits) = (0_u32, 0);
    for byte in bytes {
        held = held << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(BASE32[(held >> bits & 31) as usize]));
        }
    }
    if bits > 0 {
        text.push(char::from(BASE32[(held << (5 - bits) & 31) as usize]));
    }
    text
}

/// A secret as other programs keep it: base32, in any case, with spaces or dashes between groups, and with or without
/// padding. `None` if it is something else, or shorter or longer than apps take.
pub fn read_secret(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut secret = Zeroizing::new(Vec::with_capacity(text.len() * 5 / 8 + 1));
    let (mut held, mut bits) = (0_u32, 0);
    for letter in text.trim_end_matches('=').bytes().filter(|byte| !matches!(byte, b' ' | b'-')) {
        let value = BASE32.iter().position(|own| *own == letter.to_ascii_uppercase())?;
        held = (held << 5 | value as u32) & 0xfff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            secret.push((held >> bits & 0xff) as u8);
        }
    }
    IMPORTED_SECRETS.contains(&secret.len()).then_some(secret)
}

/// What the QR code says: the key URI format that authenticator apps read.
pub fn uri(secret: &[u8], issuer: &str, username: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let (issuer, username) = (percent::encoded(issuer, is_plain), percent::encoded(username, is_plain));
    let secret = base32(secret);
    format!(
        "otpauth://totp/{issuer}:{username}?secret={secret}&issuer={issuer}&algorithm=SHA1&digits=6&period=30"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B, the column of SHA-1.
    #[test]
    fn the_vectors_of_rfc_6238_hold() {
        for (time, expected) in [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ] {
            assert_eq!(digits(b"12345678901234567890", time / STEP_SECONDS, 8), expected, "{time}");
        }
    }

    /// RFC 4226, appendix D.
    #[test]
    fn the_vectors_of_rfc_4226_hold() {
        let expected = [
            "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871",
            "520489",
        ];
        for (step, expected) in (0..).zip(expected) {
            assert_eq!(code(b"12345678901234567890", step), expected, "{step}");
        }
    }

    #[test]
    fn a_secret_is_read_however_it_is_grouped() {
        let secret = generate();
        let text = base32(&secret);
        for spelling in [text.clone(), text.to_ascii_lowercase(), format!("{text}===")] {
            assert_eq!(read_secret(&spelling), Some(secret.clone()), "{spelling}");
        }
        assert_eq!(
            read_secret("gezd gnbv-GY3TQOJQGEZDGNBVGY3TQOJQ").as_deref().map(Vec::as_slice),
            Some(&b"12345678901234567890"[..])
        );
        for bad in ["", "GEZDGNBV", "GEZDGNBVGY3TQOJ1", "not base32!", &"A".repeat(200)] {
            assert_eq!(read_secret(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_code_is_good_for_its_own_step_and_those_beside_it() {
        let secret = generate();
        let code = code(&secret, 100);

        let good: Vec<u64> =
            (98..=102).filter(|step| matching_step(&secret, &code, step * 30).is_some()).collect();

        assert_eq!(good, [99, 100, 101]);
        assert_eq!(matching_step(&secret, &code, 99 * 30), Some(100));
        for odd in ["", "1", &code[1..], &format!("{code}0"), &format!(" {code}"), "abcdef"] {
            assert_eq!(matching_step(&secret, odd, 3000), None, "{odd:?}");
        }
    }

    /// RFC 4648 §10, without padding.
    #[test]
    fn base32_is_that_of_rfc_4648() {
        for (text, expected) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(base32(text.as_bytes()), expected);
        }
    }

    #[test]
    fn names_in_the_uri_are_encoded() {
        assert_eq!(
            uri(b"foobar", "My Shop & Co", "jürgen@x"),
            "otpauth://totp/My%20Shop%20%26%20Co:j%C3%BCrgen%40x?secret=MZXW6YTBOI&issuer=My%20Shop%20%26%20Co&algorithm=SHA1&digits=6&period=30"
        );
    }
}
