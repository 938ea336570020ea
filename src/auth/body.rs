//! Request bodies, read strictly: one content type, no unknown or repeated members, and details
//! that name the member but never repeat a value (it may be a password).

use std::fmt;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName};
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::answer::Refusal;
use super::call::Call;
use crate::config::policy::RequestShape;
use crate::rejection::{Code, Rejection};

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// The longest part of a detail that may come from the client: a member's name.
const MAX_ECHO: usize = 120;

/// The body as `T`, which denies unknown fields. 415 unless it says it is JSON.
pub fn json<T: DeserializeOwned>(call: &Call) -> Result<T, Refusal> {
    if !has_content_type(&call.headers, JSON) {
        return Err(wrong_type(JSON));
    }
    if !call.body.trim_ascii_start().starts_with(b"{") {
        // serde would take an array for an object without names.
        return Err(malformed("The body must be a JSON object"));
    }
    match call.request_shape() {
        None => read_json(&call.body, &|sentence| malformed(sentence)),
        Some(shape) => {
            let Members(sent) = read_json(&call.body, &|sentence| malformed(sentence))?;
            let own = own_members(shape, sent)?;
            let own = serde_path_to_error::deserialize(Value::Object(own));
            own.map_err(|error| explain(error, &|sentence| call.bad_member(sentence)))
        }
    }
}

fn read_json<T: DeserializeOwned>(body: &[u8], refuse: Refuse<'_>) -> Result<T, Refusal> {
    let mut document = serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize(&mut document).map_err(|error| explain(error, refuse))?;
    document.end().map_err(|_| malformed("More follows after the JSON document"))?;
    Ok(read)
}

/// Words a refusal.
type Refuse<'r> = &'r dyn Fn(&str) -> Refusal;

fn explain(error: serde_path_to_error::Error<serde_json::Error>, refuse: Refuse<'_>) -> Refusal {
    let member = error.path().to_string();
    explain_json(&member, &error.into_inner(), refuse)
}

/// The members of an object as they were sent, repeated ones included.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersForm)
    }
}

struct MembersForm;

impl<'de> Visitor<'de> for MembersForm {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

/// By our names. Two members that have the same meaning are one too many.
fn own_members(shape: &RequestShape, sent: Vec<(String, Value)>) -> Result<Map<String, Value>, Refusal> {
    let mut own = Map::new();
    for (name, value) in sent {
        if own.insert(shape.own(&name).to_owned(), value).is_some() {
            return Err(malformed(&format!("Not accepted: duplicate field `{}`", shorten(&name))));
        }
    }
    Ok(own)
}

/// The form fields as `T`; unknown fields are ignored (RFC 6749 §3.2), repeated ones refused.
pub fn form<T: DeserializeOwned>(call: &Call) -> Result<T, Refusal> {
    if !is_form(call) {
        return Err(wrong_type(FORM));
    }
    let unusable = |error: serde_urlencoded::de::Error| {
        call.bad_member(&format!("The form is not usable: {}", named_problem(&error.to_string())))
    };
    let Some(shape) = call.request_shape() else {
        return serde_urlencoded::from_bytes(&call.body).map_err(unusable);
    };
    let sent: Vec<(String, String)> = serde_urlencoded::from_bytes(&call.body).map_err(unusable)?;
    let own: Vec<(&str, &str)> = sent.iter().map(|(name, value)| (shape.own(name), value.as_str())).collect();
    let own = Zeroizing::new(serde_urlencoded::to_string(own).unwrap_or_default());
    serde_urlencoded::from_str(&own).map_err(unusable)
}

pub fn is_form(call: &Call) -> bool {
    has_content_type(&call.headers, FORM)
}

/// Exactly one `Content-Type` of this kind, whatever its parameters, and no compression.
fn has_content_type(headers: &HeaderMap, wanted: &str) -> bool {
    let Some(content_type) = single(headers, &CONTENT_TYPE) else {
        return false;
    };
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let encoding = headers.get(CONTENT_ENCODING).map(|value| value.as_bytes());
    essence.eq_ignore_ascii_case(wanted) && matches!(encoding, None | Some(b"identity"))
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

fn wrong_type(wanted: &str) -> Refusal {
    Rejection::from(Code::UnsupportedMediaType)
        .because(format!("Send the body as {wanted}, uncompressed"))
        .into()
}

fn malformed(detail: &str) -> Refusal {
    Rejection::from(Code::BadRequest).because(detail).into()
}

fn explain_json(member: &str, error: &serde_json::Error, refuse: Refuse<'_>) -> Refusal {
    if !error.is_data() {
        let (line, column) = (error.line(), error.column());
        return malformed(&format!("The body is not well-formed JSON (line {line}, column {column})"));
    }
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    match named_problem(text) {
        UNUSABLE => refuse(&format!("`{}` {UNUSABLE}", shorten(member))),
        named => refuse(&format!("Not accepted: {named}")),
    }
}

const UNUSABLE: &str = "has the wrong type or value";

/// serde's messages about members only name them; those about values repeat the value.
fn named_problem(text: &str) -> &str {
    let names_a_member =
        ["unknown field", "missing field", "duplicate field"].iter().any(|kind| text.starts_with(kind));
    if names_a_member { shorten(text) } else { UNUSABLE }
}

fn shorten(text: &str) -> &str {
    match text.char_indices().nth(MAX_ECHO) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}
