//! `Vary` (RFC 9111 §4.1): which request headers told this answer apart from others of its key, as the upstream was
//! sent them.

use http::{HeaderMap, HeaderName, header};
use pingora::cache::key::HashBinary;
use pingora::cache::{CacheMeta, VarianceBuilder};

use crate::pipeline::forward::sent_fields::SentFields;

pub fn run(meta: &CacheMeta, request: SentFields<'_>) -> Option<HashBinary> {
    of(meta.headers(), request)
}

/// Whether an answer with these fields is for such a request. Not merely when it has no variance: one that went
/// missing mustn't make it everybody's.
pub fn is_meant(variance: Option<HashBinary>, answer: &HeaderMap, request: SentFields<'_>) -> bool {
    variance == of(answer, request)
}

/// The names in `Vary`.
pub fn names(answer: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = answer.get_all(header::VARY).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|name| !name.is_empty())
}

fn of(answer: &HeaderMap, request: SentFields<'_>) -> Option<HashBinary> {
    // As most answers are.
    if !answer.contains_key(header::VARY) {
        return None;
    }
    let mut names: Vec<String> = names(answer).map(str::to_ascii_lowercase).collect();
    names.sort();
    names.dedup();
    let mut variance = VarianceBuilder::new();
    for name in names {
        // A name that no field can have varies nothing.
        let field = HeaderName::from_bytes(name.as_bytes()).ok();
        let values: Vec<&[u8]> = field.iter().flat_map(|field| request.values(field)).collect();
        variance.add_owned_name_value(name, values.join(&b", "[..]));
    }
    variance.finalize()
}
