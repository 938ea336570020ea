//! Codes of a second factor as people type and paste them: in groups, with fullwidth or Arabic digits, with hyphens
//! of any kind or invisible marks.

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use super::{recovery_code, totp};

/// What a text can be at all.
#[cfg_attr(test, derive(Debug, PartialEq, Eq))]
pub enum TypedCode {
    /// Six ASCII digits.
    App(Zeroizing<String>),
    /// Without its hyphens, in upper case.
    Recovery(Zeroizing<String>),
}

/// No code is longer, whatever stands between its characters.
const MOST_BYTES: usize = 256;

impl TypedCode {
    /// `None` if the text can't be any code: comparing it would be no guess.
    pub fn read(text: &str) -> Option<Self> {
        if text.len() > MOST_BYTES {
            return None;
        }
        let kept = text.nfkc().filter(|c| !is_between(*c)).map(|c| plain_digit(c).to_ascii_uppercase());
        let kept: Zeroizing<String> = Zeroizing::new(kept.collect());
        if totp::is_code(&kept) {
            Some(Self::App(kept))
        } else if recovery_code::is_one(&kept) {
            Some(Self::Recovery(kept))
        } else {
            None
        }
    }
}

/// Spaces, hyphens and dashes, and what can't be seen.
fn is_between(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '-' | '.' | '\u{2010}'..='\u{2015}' | '\u{2212}')
        || matches!(c, '\u{00ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Digits of keyboards that have their own, which NFKC leaves alone.
fn plain_digit(c: char) -> char {
    let zero = match c {
        '\u{0660}'..='\u{0669}' => 0x0660, // Arabic-Indic
        '\u{06f0}'..='\u{06f9}' => 0x06f0, // Persian
        '\u{0966}'..='\u{096f}' => 0x0966, // Devanagari
        other => return other,
    };
    char::from_digit(u32::from(c) - zero, 10).unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_of_an_app_is_the_same_however_it_is_typed() {
        for typed in [
            "123456",
            "123 456",
            " 123456\n",
            "123-456",
            "1 2 3 4 5 6",
            "123\u{a0}456",
            "123\u{2013}456",
            "１２３４５６",
            "１２３\u{3000}４５６",
            "١٢٣٤٥٦",
            "۱۲۳۴۵۶",
            "१२३४५६",
            "\u{200e}123\u{200b}456\u{feff}",
        ] {
            let read = TypedCode::read(typed);
            assert_eq!(read, Some(TypedCode::App(Zeroizing::new("123456".to_owned()))), "{typed:?}");
        }
    }

    #[test]
    fn a_recovery_code_is_the_same_however_it_is_typed() {
        let code = recovery_code::mint();
        let whole = Some(TypedCode::Recovery(Zeroizing::new(code.replace('-', ""))));

        let fullwidth = code.chars().map(|c| match c {
            '-' => '\u{ff0d}',
            c => char::from_u32(u32::from(c) + 0xfee0).expect("they are all there"),
        });
        for typed in [
            code.to_string(),
            code.to_lowercase(),
            code.replace('-', " "),
            code.replace('-', "\u{2011}"),
            fullwidth.collect(),
        ] {
            assert_eq!(TypedCode::read(&typed), whole, "{typed:?}");
        }
    }

    #[test]
    fn what_can_be_no_code_is_none() {
        let long = "1".repeat(1000);
        let not_base32 = "ABCDEF-GHIJKL-MNOPQR-STUVW1";
        for odd in ["", " ", "12345", "1234567", "12345a", "½23456", "123456 123456", not_base32, &long] {
            assert_eq!(TypedCode::read(odd), None, "{odd:?}");
        }
    }
}
