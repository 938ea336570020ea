//! Requests and answers in the words of another program's clients, at the paths that `auth.aliases` gives them.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Map, Value};

use super::answer::Refusal;
use crate::config::policy::{AuthEndpoint, Translation};
use crate::rejection::Code;

/// Longer than any answer with members to choose from.
const MAX_ANSWER: usize = 1024 * 1024;

/// An extension of requests whose route has words of its own.
#[derive(Clone)]
pub struct Alias {
    pub endpoint: AuthEndpoint,
    pub translation: Arc<Translation>,
}

impl Alias {
    /// The same answer with other members; one without a body gets one.
    pub async fn reshape(&self, response: Response, method: &Method) -> Response {
        let Some(shape) = &self.translation.answer else { return response };
        let (mut head, body) = response.into_parts();
        let Ok(body) = to_bytes(body, MAX_ANSWER).await else {
            return Refusal::from(Code::Internal).into_response();
        };
        let own: Map<String, Value> = serde_json::from_slice(&body).unwrap_or_default();
        let shaped = shape.reshape(&own, message(self.endpoint, method));
        if head.status == StatusCode::NO_CONTENT {
            head.status = StatusCode::OK;
        }
        head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Response::from_parts(head, Body::from(shaped.to_string()))
    }

    /// A problem document with the members that the clients look for.
    pub fn extend_problem(&self, problem: String) -> String {
        match &self.translation.answer {
            Some(shape) => shape.extend_problem(&problem),
            None => problem,
        }
    }
}

/// What has been done, for people.
fn message(endpoint: AuthEndpoint, method: &Method) -> &'static str {
    match endpoint {
        AuthEndpoint::Register => "The account was made",
        AuthEndpoint::Login | AuthEndpoint::Token => "Logged in",
        AuthEndpoint::Refresh => "The access token was renewed",
        AuthEndpoint::Logout => "Logged out",
        AuthEndpoint::Me if method == Method::DELETE => "The account was deleted",
        AuthEndpoint::Me if method != Method::GET => "The account was changed",
        AuthEndpoint::Password => "The password was changed",
        AuthEndpoint::Validate => "The access token is valid",
        _ => "Done",
    }
}
