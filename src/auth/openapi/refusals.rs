//! How an operation may be refused: what its attributes name under `x-refusals`, and what follows from
//! whether it takes a body or a token.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::rejection::{Code, Rejection};

const NAMED: &str = "x-refusals";
const OAUTH2: &str = "x-oauth2";
const ALWAYS: &[Code] = &[
    Code::BadPath,
    Code::BadRequest,
    Code::HeadersTooLarge,
    Code::RateLimited,
    Code::Overloaded,
    Code::Internal,
];
const WITH_BODY: &[Code] = &[Code::BodyTooLarge, Code::RequestTimeout, Code::UnsupportedMediaType];
const WITH_TOKEN: &[Code] = &[
    Code::NoCredentials,
    Code::TokenMalformed,
    Code::TokenTooLarge,
    Code::TokenInvalid,
    Code::TokenExpired,
    Code::TokenNotYetValid,
    Code::TokenRevoked,
    Code::TokenStale,
    Code::StoreUnavailable,
];

/// The operation with an answer for each status that refuses.
pub fn complete(mut operation: Value) -> Value {
    let named = operation.as_object_mut().and_then(|members| members.remove(NAMED)).unwrap_or_default();
    let named = named.as_array().cloned().unwrap_or_default();
    let mut codes: Vec<Code> = named.iter().filter_map(Value::as_str).map(code).collect();
    codes.extend(ALWAYS);
    if operation.get("requestBody").is_some() {
        codes.extend(WITH_BODY);
    }
    if operation.get("security").is_some() {
        codes.extend(WITH_TOKEN);
    }
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in Code::ALL.into_iter().filter(|code| codes.contains(code)) {
        by_status.entry(code.status().as_u16()).or_default().push(code);
    }
    for (status, codes) in by_status {
        operation["responses"][status.to_string()] = response(&codes);
    }
    let marks = operation.as_object_mut().and_then(|members| members.remove(OAUTH2));
    if marks.is_some() {
        add_oauth2(&mut operation, &codes);
    }
    operation
}

/// To a form the endpoint refuses in the words of RFC 6749 §5.2.
fn add_oauth2(operation: &mut Value, codes: &[Code]) {
    let schema = json!({ "schema": { "$ref": "#/components/schemas/OAuth2Error" } });
    let responses = operation["responses"].as_object_mut().into_iter().flatten();
    for (_, response) in responses.filter(|(status, _)| matches!(status.as_str(), "400" | "503")) {
        response["content"]["application/json"] = schema.clone();
    }
    let refused = codes.iter().filter(|code| code.status().is_client_error());
    let words: Vec<&str> = refused.map(|code| code.as_str()).collect();
    operation["responses"]["400"]["description"] = words.join(", ").into();
    operation["responses"]["400"]["headers"]["Portcullis-Reason"]["schema"]["enum"] = json!(words);
}

/// # Panics
/// On a word that is no code: every test that makes a router finds it.
fn code(word: &str) -> Code {
    let found = Code::ALL.into_iter().find(|code| code.as_str() == word);
    found.unwrap_or_else(|| panic!("{NAMED} names {word:?}, which is no code"))
}

fn response(codes: &[Code]) -> Value {
    let words: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
    let examples: Map<String, Value> =
        codes.iter().map(|code| (code.as_str().to_owned(), example(*code))).collect();
    let mut headers = json!({
        "Portcullis-Reason": { "description": "The code", "required": true, "schema": { "type": "string", "enum": words } }
    });
    if codes.contains(&Code::NoCredentials) {
        let challenge = json!({ "description": "RFC 6750 §3", "schema": { "type": "string" } });
        headers["WWW-Authenticate"] = challenge;
    }
    if codes.iter().any(|code| [Code::RateLimited, Code::Overloaded, Code::AccountLocked].contains(code)) {
        headers["Retry-After"] =
            json!({ "description": "In seconds", "schema": { "type": "integer", "minimum": 1 } });
    }
    json!({
        "description": words.join(", "),
        "headers": headers,
        "content": { "application/problem+json": {
            "schema": { "$ref": "#/components/schemas/Problem" },
            "examples": examples,
        } },
    })
}

fn example(code: Code) -> Value {
    let problem = Rejection::from(code).problem_json("7f3a9c1e5b2d4860000001000000002a");
    let problem: Value = serde_json::from_str(&problem).expect("we wrote it ourselves");
    json!({ "summary": code.detail(), "value": problem })
}

/// RFC 6749 §5.2, with our members.
pub fn oauth2_error() -> Value {
    let codes: Vec<&str> = Code::ALL.into_iter().map(Code::as_str).collect();
    json!({
        "type": "object",
        "description": "A refusal to an OAuth2 form (RFC 6749 §5.2)",
        "required": ["error", "error_description", "code", "detail", "request_id"],
        "properties": {
            "error": { "type": "string" },
            "error_description": { "type": "string" },
            "code": { "type": "string", "enum": codes },
            "detail": { "type": "string" },
            "request_id": { "type": "string" },
        },
    })
}

/// RFC 9457, with our members.
pub fn problem() -> Value {
    let codes: Vec<&str> = Code::ALL.into_iter().map(Code::as_str).collect();
    json!({
        "type": "object",
        "description": "A refusal (RFC 9457). Decide by `code`.",
        "required": ["type", "title", "status", "detail", "code", "request_id"],
        "properties": {
            "type": { "type": "string", "const": "about:blank" },
            "title": { "type": "string" },
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
            "detail": { "type": "string" },
            "code": { "type": "string", "enum": codes },
            "request_id": { "type": "string" },
            "needs": {
                "type": "array",
                "description": "With `reauthentication_required`: what is missing",
                "items": { "type": "string", "enum": ["password", "code", "sign_in"] },
            },
            "error": { "type": "string", "description": "Of RFC 6749, where an OAuth2 form was sent" },
        },
    })
}
