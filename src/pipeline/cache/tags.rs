//! The tags by which an upstream lets its answers be purged together.

use http::HeaderMap;

/// Of `Cache-Tag` (commas between) and `Surrogate-Key` (spaces between).
pub fn run(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let listed = |name: &'static str, separator: fn(char) -> bool| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(move |value| value.split(separator)).map(str::trim).filter(|tag| !tag.is_empty())
    };
    listed("cache-tag", |c| c == ',').chain(listed("surrogate-key", |c| c == ' '))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn both_fields_are_read_in_their_own_ways() {
        let mut headers = HeaderMap::new();
        headers.append("cache-tag", HeaderValue::from_static("red shoe, blue,"));
        headers.append("cache-tag", HeaderValue::from_static("green"));
        headers.append("surrogate-key", HeaderValue::from_static("a  b"));

        assert_eq!(run(&headers).collect::<Vec<_>>(), ["red shoe", "blue", "green", "a", "b"]);
    }
}
