//! `traceparent` (W3C Trace Context §3.2): which trace a request belongs to, and whether that is recorded.

/// What a valid field says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    pub trace_id: [u8; 16],
    pub span_id: [u8; 8],
    pub flags: u8,
}

/// `00-<32 digits>-<16 digits>-<2 digits>`
const LENGTH: usize = 55;
pub const SAMPLED: u8 = 1;

impl TraceParent {
    /// `None` for what must not be passed on. Of versions to come, the part that is known by now counts.
    pub fn parse(field: &[u8]) -> Option<Self> {
        let (known, rest) = field.split_at_checked(LENGTH)?;
        let [version] = hex(&known[..2])?;
        let is_whole = if version == 0 { rest.is_empty() } else { matches!(rest, [] | [b'-', ..]) };
        let has_dashes = [2, 35, 52].iter().all(|&at| known[at] == b'-');
        let parent = Self {
            trace_id: hex(&known[3..35])?,
            span_id: hex(&known[36..52])?,
            flags: hex::<1>(&known[53..])?[0],
        };
        let is_named = parent.trace_id != [0; 16] && parent.span_id != [0; 8];
        (version != 0xff && is_whole && has_dashes && is_named).then_some(parent)
    }

    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// As a field of version 00.
    pub fn to_field(self) -> [u8; LENGTH] {
        let mut field = [b'-'; LENGTH];
        field[..2].copy_from_slice(b"00");
        write_hex(&mut field[3..35], &self.trace_id);
        write_hex(&mut field[36..52], &self.span_id);
        write_hex(&mut field[53..], &[self.flags]);
        field
    }
}

/// In lower case, as the standard asks for.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

fn write_hex(digits: &mut [u8], bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_valid_field_is_read_and_written_again() {
        let parent = TraceParent::parse(VALID.as_bytes()).unwrap();

        assert!(parent.is_sampled());
        assert_eq!(parent.to_field(), VALID.as_bytes());
        assert!(!TraceParent { flags: 2, ..parent }.is_sampled());
    }

    #[test]
    fn of_a_version_to_come_what_is_known_counts() {
        for later in [VALID.replacen("00", "cc", 1), VALID.replacen("00", "01", 1) + "-what-comes"] {
            assert_eq!(TraceParent::parse(later.as_bytes()), TraceParent::parse(VALID.as_bytes()), "{later}");
        }
    }

    #[test]
    fn what_is_malformed_is_no_parent() {
        let zero = "0".repeat(32);
        for wrong in [
            String::new(),
            "00-1-2-00".to_owned(),
            VALID.to_uppercase(),
            VALID.replacen("00", "ff", 1),
            VALID.replacen("00", "0x", 1),
            VALID.replace('-', "_"),
            VALID[..54].to_owned(),
            format!("{VALID}-"),
            format!("{VALID}0"),
            format!("{}0", VALID.replacen("00", "01", 1)),
            format!("{VALID}, {VALID}"),
            VALID.replace("4bf92f3577b34da6a3ce929d0e0e4736", &zero),
            VALID.replace("00f067aa0ba902b7", &zero[..16]),
            VALID.replace("4bf9", "4bé"),
        ] {
            assert_eq!(TraceParent::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
