//! Finds the end of a request's body in the bytes that a client sends, so that what follows stays for the next
//! request. It decides nothing else: what it can't follow is left to the reader of the body, which refuses it.

/// A chunk's size has at most so many digits.
const MAX_SIZE_DIGITS: u32 = 15;

/// What is still to come of a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyEnd {
    /// So many bytes.
    After(u64),
    /// The last chunk and its trailers (RFC 9112 §7.1).
    Chunked(Chunked),
    /// Not what is followed here: the reader of the body knows. Nothing that is read with it is kept for another request.
    Unknown,
}

/// Where in a chunked body the next byte stands. Only the plainest form is followed: no extensions, no trailers, no bare
/// line feeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunked {
    /// In the digits of a size; with its value so far.
    Size {
        value: u64,
        digits: u32,
    },
    /// Before the line feed behind a size.
    SizeEnd {
        value: u64,
    },
    /// In the data of a chunk, or in the line end behind it.
    Data {
        left: u64,
    },
    /// In the empty line behind the last chunk.
    LastLine,
    LastLineEnd,
    Over,
}

impl BodyEnd {
    pub const NONE: Self = Self::After(0);
    pub const CHUNKED: Self = Self::Chunked(Chunked::Size { value: 0, digits: 0 });

    pub fn is_over(&self) -> bool {
        matches!(self, Self::After(0) | Self::Chunked(Chunked::Over))
    }

    /// How many of the bytes that come next belong to the body.
    pub fn take(&mut self, bytes: &[u8]) -> usize {
        match self {
            Self::Unknown => bytes.len(),
            Self::After(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                taken
            }
            Self::Chunked(chunked) => {
                let taken = chunked.take(bytes);
                if taken.is_none() {
                    *self = Self::Unknown;
                }
                taken.unwrap_or(bytes.len())
            }
        }
    }
}

impl Chunked {
    /// `None` for what are no chunks.
    fn take(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() && *self != Self::Over {
            if let Self::Data { left } = self {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len() - at);
                *left -= taken as u64;
                at += taken;
                if *left == 0 {
                    *self = Self::Size { value: 0, digits: 0 };
                }
                continue;
            }
            *self = self.after(*bytes.get(at)?)?;
            at += 1;
        }
        Some(at)
    }

    fn after(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Size { value, digits: 1.. }, b'\r') => Some(Self::SizeEnd { value }),
            // No zero leads another digit.
            (Self::Size { value: 0, digits: 1.. }, _) => None,
            (Self::Size { value, digits: digits @ ..MAX_SIZE_DIGITS }, digit) => {
                let digit = char::from(digit).to_digit(16)?;
                Some(Self::Size { value: value * 16 + u64::from(digit), digits: digits + 1 })
            }
            (Self::SizeEnd { value: 0 }, b'\n') => Some(Self::LastLine),
            // With the CRLF behind the data.
            (Self::SizeEnd { value }, b'\n') => Some(Self::Data { left: value + 2 }),
            (Self::LastLine, b'\r') => Some(Self::LastLineEnd),
            (Self::LastLineEnd, b'\n') => Some(Self::Over),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many bytes are the body's, fed in pieces of this length; `None` if its end did not come.
    fn end_of(mut body: BodyEnd, bytes: &[u8], piece: usize) -> Option<usize> {
        let mut taken = 0;
        for part in bytes.chunks(piece) {
            taken += body.take(part);
            if body.is_over() {
                return Some(taken);
            }
        }
        None
    }

    #[test]
    fn the_end_is_found_wherever_the_pieces_are_cut() {
        let bodies: [(BodyEnd, &str); 5] = [
            (BodyEnd::After(5), "hello"),
            (BodyEnd::CHUNKED, "0\r\n\r\n"),
            (BodyEnd::CHUNKED, "5\r\nhello\r\n0\r\n\r\n"),
            (BodyEnd::CHUNKED, "1A\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n"),
            (BodyEnd::CHUNKED, "3\r\n0\r\n\r\n2\r\nab\r\n0\r\n\r\n"),
        ];
        for (kind, body) in bodies {
            for follows in ["", "\r\n", "GET / HTTP/1.1\r\n\r\n", "0\r\n\r\n"] {
                let bytes = format!("{body}{follows}");
                for piece in 1..=bytes.len() {
                    assert_eq!(
                        end_of(kind, bytes.as_bytes(), piece),
                        Some(body.len()),
                        "{bytes:?} by {piece}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_are_no_plain_chunks_is_left_to_the_reader() {
        for bytes in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "1234567890abcdef0\r\n",
            "1;a=b\r\n",
            "03\r\n",
            "3\nabc\n",
            "0\r\nA: b\r\n",
            "00\r\n",
        ] {
            let mut body = BodyEnd::CHUNKED;

            assert_eq!(body.take(bytes.as_bytes()), bytes.len(), "{bytes:?}");
            assert_eq!(body, BodyEnd::Unknown, "{bytes:?}");
        }
    }

    #[test]
    fn a_body_without_bytes_is_over() {
        assert!(BodyEnd::NONE.is_over());
        assert!(!BodyEnd::CHUNKED.is_over());
        assert!(!BodyEnd::Unknown.is_over());
    }
}
