//! One mutated request, and a good one behind it.

use super::mutations::{self, Request};
use crate::random::Random;

/// Up to this length a request may come byte by byte.
const SHORT: usize = 600;

pub struct Case {
    /// In every target of this case, and of no other: twice its number, so that no other byte makes another id.
    pub id: String,
    /// What is written one after the other.
    pub parts: Vec<Vec<u8>>,
    /// The first request has an answer without a body.
    pub is_head: bool,
}

impl Case {
    pub fn new(random: &mut Random, number: u64) -> Self {
        let id = format!("c{number}c{number}c");
        let mut request = Request::good(random, &id);
        // A mutated request is refused before its method counts, and then there is a body.
        let is_head = request.method == b"HEAD";
        for _ in 0..if is_head { 0 } else { random.below(4) } {
            mutations::mutate(random, &mut request);
        }
        let mut bytes = request.bytes();
        if random.chance(15) && !is_head {
            mutations::change_a_byte(random, &mut bytes);
        }
        bytes.extend(
            format!("GET /echo/{id}/last HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n")
                .into_bytes(),
        );
        Self { parts: split(random, bytes), id, is_head }
    }

    pub fn as_text(&self) -> String {
        self.parts.iter().map(|part| part.escape_ascii().to_string()).collect::<Vec<_>>().join(" | ")
    }
}

fn split(random: &mut Random, mut bytes: Vec<u8>) -> Vec<Vec<u8>> {
    if random.chance(50) {
        return vec![bytes];
    }
    if random.chance(20) && bytes.len() < SHORT {
        return bytes.chunks(1).map(<[u8]>::to_vec).collect();
    }
    let mut parts = Vec::new();
    for _ in 0..=random.below(3) {
        let rest = bytes.split_off(random.below(bytes.len().max(1)));
        parts.insert(0, rest);
    }
    parts.insert(0, bytes);
    parts.retain(|part| !part.is_empty());
    parts
}
