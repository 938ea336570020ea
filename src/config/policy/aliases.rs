//! Extra paths of the auth wing, and answers in the words of other programs' clients.

use std::sync::Arc;

use http::Method;
use serde_json::{Map, Value};

use super::AuthEndpoint;

/// What every refusal has.
const PROBLEM: [&str; 7] = ["type", "title", "status", "detail", "code", "request_id", MESSAGE];
/// A sentence for people, which every answer has where one is asked for.
const MESSAGE: &str = "message";

#[derive(Debug, Clone)]
pub struct Alias {
    pub path: String,
    pub endpoint: AuthEndpoint,
    pub methods: Vec<Method>,
    /// `None`: as at the endpoint's own path.
    pub answer: Option<Arc<AnswerShape>>,
    /// Whether sensitive actions need no more than the access token here.
    pub waives_reauthentication: bool,
}

/// Members of an answer: the name that clients look for, and ours.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct AnswerShape(pub Vec<(String, String)>);

impl AnswerShape {
    /// Whether an answer or a refusal of the endpoint can have this member.
    pub fn knows(endpoint: AuthEndpoint, member: &str) -> bool {
        endpoint.members().contains(&member) || PROBLEM.contains(&member)
    }

    /// Whether the member is handed out.
    pub fn names(&self, member: &str) -> bool {
        self.0.iter().any(|(_, own)| own == member)
    }

    /// The members asked for that the answer has, and no others.
    pub fn reshape(&self, own: &Map<String, Value>, message: &str) -> Value {
        let found = self.0.iter().filter_map(|(name, member)| {
            let value = match member.as_str() {
                MESSAGE => message.into(),
                member => own.get(member)?.clone(),
            };
            Some((name.clone(), value))
        });
        Value::Object(found.collect())
    }

    /// A problem document (RFC 9457) with the members asked for beside its own.
    pub fn extend_problem(&self, problem: &str) -> String {
        let Ok(Value::Object(mut members)) = serde_json::from_str(problem) else { return problem.to_owned() };
        for (name, member) in &self.0 {
            let member = if member == MESSAGE { "detail" } else { member };
            if let Some(value) = members.get(member).cloned() {
                members.insert(name.clone(), value);
            }
        }
        Value::Object(members).to_string()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shape(members: &[(&str, &str)]) -> AnswerShape {
        AnswerShape(members.iter().map(|(name, own)| (name.to_string(), own.to_string())).collect())
    }

    #[test]
    fn an_answer_has_the_members_asked_for_and_no_others() {
        let shape = shape(&[("token", "access_token"), ("msg", "message"), ("error", "detail")]);
        let own = json!({ "access_token": "eyJ", "expires_in": 900 });

        let reshaped = shape.reshape(own.as_object().expect("an object"), "Logged in");

        assert_eq!(reshaped, json!({ "token": "eyJ", "msg": "Logged in" }));
        assert!(shape.names("access_token") && !shape.names("token"));
    }

    #[test]
    fn a_refusal_keeps_its_members() {
        let shape = shape(&[("token", "access_token"), ("msg", "message"), ("error", "code")]);

        let problem = shape.extend_problem(r#"{"code":"bad_credentials","detail":"Wrong"}"#);

        let expected = json!({ "code": "bad_credentials", "detail": "Wrong", "msg": "Wrong", "error": "bad_credentials" });
        assert_eq!(serde_json::from_str::<Value>(&problem).expect("JSON"), expected);
    }
}
