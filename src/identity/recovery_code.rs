//! Recovery codes: for whoever has lost the authenticator app. Each has 120 random bits, more than the 112
//! from which on a fast hash is enough (NIST SP 800-63B-4 §3.1.2.2).

use aws_lc_rs::{digest, rand};
use zeroize::Zeroizing;

use super::UserId;
use super::totp::{BASE32, base32};

pub const COUNT: usize = 10;
const BYTES: usize = 15;
const GROUP: usize = 6;

/// `ABCDEF-GHIJKL-MNOPQR-STUVWX`.
pub fn mint() -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0; BYTES]);
    rand::fill(bytes.as_mut()).expect("the system has randomness");
    let letters = Zeroizing::new(base32(bytes.as_ref()));
    let mut text = Zeroizing::new(String::with_capacity(letters.len() + letters.len() / GROUP));
    for start in (0..letters.len()).step_by(GROUP) {
        if start > 0 {
            text.push('-');
        }
        text.push_str(&letters[start..start + GROUP]);
    }
    text
}

/// Whether a text could be one, and no code of an app.
pub fn is_one(text: &str) -> bool {
    let letters = letters(text);
    letters.len() == BYTES * 8 / 5 && letters.bytes().all(|letter| BASE32.contains(&letter))
}

/// What is stored; in whatever case, and with whatever between the groups, it was typed.
pub fn hash(text: &str, owner: UserId) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(owner.as_bytes());
    context.update(letters(text).as_bytes());
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

fn letters(text: &str) -> Zeroizing<String> {
    let letters = text.chars().filter(char::is_ascii_alphanumeric);
    Zeroizing::new(letters.map(|letter| letter.to_ascii_uppercase()).collect())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_code_is_the_same_however_it_is_typed() {
        let owner = Uuid::from_u128(1);
        let code = mint();
        assert_eq!(code.len(), 27);

        for typed in
            [code.to_lowercase(), code.replace('-', ""), code.replace('-', " "), format!(" {} ", *code)]
        {
            assert!(is_one(&typed));
            assert_eq!(hash(&typed, owner), hash(&code, owner), "{typed}");
        }
        assert_ne!(hash(&code, owner), hash(&code, Uuid::from_u128(2)));
        assert_ne!(hash(&code, owner), hash(&mint(), owner));
        assert!(!is_one("123456") && !is_one("") && !is_one(&code[1..]));
    }
}
