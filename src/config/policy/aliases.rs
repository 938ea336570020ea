//! Extra paths of the auth wing, and answers in the words of other programs' clients.

use std::sync::Arc;

use http::Method;
use serde_json::{Map, Value};

use super::AuthEndpoint;

/// What every refusal has.
const PROBLEM: [&str; 7] = ["type", "title", "status", "detail", "code", "request_id", MESSAGE];
/// A sentence for people, which every answer has where one is asked for.
const MESSAGE: &str = "message";
/// Which some endpoints make only for clients that look for it.
const ACCESS_TOKEN: &str = "access_token";

#[derive(Debug, Clone)]
pub struct Alias {
    pub path: String,
    pub endpoint: AuthEndpoint,
    pub methods: Vec<Method>,
    /// `None`: as at the endpoint's own path.
    pub translation: Option<Arc<Translation>>,
    /// Whether sensitive actions need no more than the access token here.
    pub waives_reauthentication: bool,
}

/// How the clients of another program speak.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Translation {
    pub request: Option<RequestShape>,
    pub answer: Option<AnswerShape>,
}

/// Members of a request: the name that clients send, and ours.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct RequestShape(pub Vec<(String, String)>);

impl RequestShape {
    /// Our name for a member. One that isn't named here keeps its own.
    pub fn own<'n>(&'n self, sent: &'n str) -> &'n str {
        self.0.iter().find(|(name, _)| name == sent).map_or(sent, |(_, own)| own)
    }

    /// What clients call a member of ours.
    pub fn sent<'n>(&'n self, own: &'n str) -> &'n str {
        self.0.iter().find(|(_, known)| known == own).map_or(own, |(name, _)| name)
    }

    /// Whether clients have a name for the member.
    pub fn names(&self, own: &str) -> bool {
        self.0.iter().any(|(_, known)| known == own)
    }

    /// The same sentence with the clients' names between its backquotes.
    pub fn word(&self, sentence: &str) -> String {
        let parts = sentence.split('`').enumerate();
        let parts = parts.map(|(index, part)| if index % 2 == 1 { self.sent(part) } else { part });
        parts.collect::<Vec<_>>().join("`")
    }
}

/// Members of an answer by the name that clients look for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct AnswerShape(pub Vec<(String, AnswerMember)>);

#[derive(Debug, PartialEq, Eq)]
pub enum AnswerMember {
    /// One of ours.
    Own(String),
    /// Always the same sentence.
    Text(String),
    /// An object with these.
    Members(AnswerShape),
}

impl AnswerShape {
    /// Whether an answer or a refusal of the endpoint can have this member.
    pub fn knows(endpoint: AuthEndpoint, member: &str) -> bool {
        let is_renewed = endpoint.renews() && member == ACCESS_TOKEN;
        is_renewed || endpoint.members().contains(&member) || PROBLEM.contains(&member)
    }

    /// Whether the member is handed out.
    pub fn names(&self, member: &str) -> bool {
        self.0.iter().any(|(_, one)| match one {
            AnswerMember::Own(own) => own == member,
            AnswerMember::Text(_) => false,
            AnswerMember::Members(members) => members.names(member),
        })
    }

    /// The members asked for that the answer has, and no others.
    pub fn reshape(&self, own: &Map<String, Value>, message: &str) -> Value {
        let found = self.0.iter().filter_map(|(name, member)| {
            let value = match member {
                AnswerMember::Own(member) if member == MESSAGE => message.into(),
                AnswerMember::Own(member) => own.get(member)?.clone(),
                AnswerMember::Text(text) => text.as_str().into(),
                AnswerMember::Members(members) => members.reshape(own, message),
            };
            Some((name.clone(), value))
        });
        Value::Object(found.collect())
    }

    /// A problem document (RFC 9457) with the members asked for beside its own. Where the answer has a
    /// fixed sentence, a refusal says why it refuses.
    pub fn extend_problem(&self, problem: &str) -> String {
        let Ok(Value::Object(own)) = serde_json::from_str(problem) else { return problem.to_owned() };
        let mut members = own.clone();
        for (name, member) in &self.0 {
            match member {
                AnswerMember::Own(member) => {
                    members.extend(of_problem(&own, member).map(|value| (name.clone(), value)));
                }
                AnswerMember::Text(_) => {
                    if let Some(detail) = of_problem(&own, MESSAGE) {
                        members.entry(name.as_str()).or_insert(detail);
                    }
                }
                AnswerMember::Members(shape) => {
                    let inner = shape.part_of_problem(&own);
                    if !inner.is_empty() {
                        members.entry(name.as_str()).or_insert(Value::Object(inner));
                    }
                }
            }
        }
        Value::Object(members).to_string()
    }

    /// What an object within the answer has of a refusal.
    fn part_of_problem(&self, own: &Map<String, Value>) -> Map<String, Value> {
        let found = self.0.iter().filter_map(|(name, member)| match member {
            AnswerMember::Own(member) => Some((name.clone(), of_problem(own, member)?)),
            AnswerMember::Text(_) => None,
            AnswerMember::Members(shape) => {
                let inner = shape.part_of_problem(own);
                (!inner.is_empty()).then(|| (name.clone(), Value::Object(inner)))
            }
        });
        found.collect()
    }
}

fn of_problem(own: &Map<String, Value>, member: &str) -> Option<Value> {
    own.get(if member == MESSAGE { "detail" } else { member }).cloned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shape(members: &[(&str, &str)]) -> AnswerShape {
        let member = |own: &str| AnswerMember::Own(own.to_owned());
        AnswerShape(members.iter().map(|(name, own)| (name.to_string(), member(own))).collect())
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

    #[test]
    fn an_answer_has_objects_and_fixed_sentences() {
        let user = AnswerMember::Members(shape(&[("id", "id"), ("name", "username")]));
        let done = AnswerMember::Text("Done".to_owned());
        let shape = AnswerShape(vec![("user".to_owned(), user), ("msg".to_owned(), done)]);
        let own = json!({ "id": "7", "username": "ada" });

        let reshaped = shape.reshape(own.as_object().expect("an object"), "Changed");
        let problem = shape.extend_problem(r#"{"code":"bad_request","detail":"No"}"#);

        assert_eq!(reshaped, json!({ "user": { "id": "7", "name": "ada" }, "msg": "Done" }));
        let expected = json!({ "code": "bad_request", "detail": "No", "msg": "No" });
        assert_eq!(serde_json::from_str::<Value>(&problem).expect("JSON"), expected);
        assert!(shape.names("username") && !shape.names("Done"));
    }

    #[test]
    fn a_refusal_names_members_as_the_client_does() {
        let names = [("password", "new_password"), ("current", "password")];
        let shape =
            RequestShape(names.iter().map(|(sent, own)| (sent.to_string(), own.to_string())).collect());

        assert_eq!(shape.word("missing field `new_password`"), "missing field `password`");
        assert_eq!(shape.word("`password` is wrong"), "`current` is wrong");
        assert_eq!((shape.own("password"), shape.own("email")), ("new_password", "email"));
    }
}
