//! What a client knows after a request.

use reqwest::{RequestBuilder, Response};
use serde_json::Value;

/// An answer, or none.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The gateway answered; what was asked for is done, or was refused for good.
    Answered {
        status: u16,
        #[allow(dead_code, reason = "told with a violation")]
        reason: Option<String>,
        body: Value,
        age: Option<u64>,
    },
    /// No answer, or one that a failing store caused: what was asked for is done, or not.
    Unknown,
}

impl Outcome {
    pub async fn of(request: RequestBuilder) -> Self {
        match request.send().await {
            Ok(response) if response.status().as_u16() < 500 => Self::read(response).await,
            _ => Self::Unknown,
        }
    }

    async fn read(response: Response) -> Self {
        let status = response.status().as_u16();
        let header = |name: &str| response.headers().get(name)?.to_str().ok().map(str::to_owned);
        let reason = header("portcullis-reason");
        let age = header("age").and_then(|age| age.parse().ok());
        match response.bytes().await {
            Ok(bytes) => Self::Answered {
                status,
                reason,
                age,
                body: serde_json::from_slice(&bytes).unwrap_or_default(),
            },
            Err(_) => Self::Unknown,
        }
    }

    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Answered { status, .. } => Some(*status),
            Self::Unknown => None,
        }
    }

    pub fn is_success(&self) -> bool {
        self.status().is_some_and(|status| status < 300)
    }

    /// A member of an answer that is text.
    pub fn text(&self, member: &str) -> Option<String> {
        match self {
            Self::Answered { body, .. } => body[member].as_str().map(str::to_owned),
            Self::Unknown => None,
        }
    }
}
