//! `Vary` (RFC 9111 §4.1): which request headers told this answer apart from others of its key.

use http::{HeaderMap, header};
use pingora::cache::key::HashBinary;
use pingora::cache::{CacheMeta, VarianceBuilder};
use pingora::http::RequestHeader;

pub fn run(meta: &CacheMeta, request: &RequestHeader) -> Option<HashBinary> {
    of(meta.headers(), request)
}

/// Whether an answer with these fields is for such a request. Not merely when it has no variance: one that went
/// missing mustn't make it everybody's.
pub fn is_meant(variance: Option<HashBinary>, answer: &HeaderMap, request: &RequestHeader) -> bool {
    variance == of(answer, request)
}

fn of(answer: &HeaderMap, request: &RequestHeader) -> Option<HashBinary> {
    // As most answers are.
    if !answer.contains_key(header::VARY) {
        return None;
    }
    let mut names: Vec<String> = answer
        .get_all(header::VARY)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !name.is_empty())
        .collect();
    names.sort();
    names.dedup();
    let mut variance = VarianceBuilder::new();
    for name in names {
        let values: Vec<&[u8]> =
            request.headers.get_all(&name).iter().map(http::HeaderValue::as_bytes).collect();
        let joined = values.join(&b", "[..]);
        variance.add_owned_name_value(name, joined);
    }
    variance.finalize()
}
