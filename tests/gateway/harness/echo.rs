//! What the upstream says it received: the answer of its `/echo`.

use serde_json::Value;

pub struct Echo(pub Value);

impl Echo {
    /// Panics, with the body, on any other answer.
    pub fn read(body: &[u8]) -> Self {
        match serde_json::from_slice::<Value>(body) {
            Ok(told) if told["headers"].is_array() => Self(told),
            _ => panic!("not an echo: {}", String::from_utf8_lossy(body)),
        }
    }

    pub async fn of(response: reqwest::Response) -> Self {
        Self::read(&response.bytes().await.expect("a whole body"))
    }

    /// The values of a header, in order; `name` in lower case.
    pub fn fields(&self, name: &str) -> Vec<&str> {
        let named = |pair: &&(&str, &str)| pair.0 == name;
        self.headers().iter().filter(named).map(|(_, value)| *value).collect()
    }

    /// Every header, name and value.
    pub fn headers(&self) -> Vec<(&str, &str)> {
        let pairs = self.0["headers"].as_array().expect("checked when it was read");
        pairs.iter().map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("upstream-example writes text")
}
