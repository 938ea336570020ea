//! What a client received on one connection, taken apart.

use serde_json::Value;

#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status_line: String,
    /// In the order of their names.
    pub fields: Vec<String>,
    pub body: String,
}

impl Answer {
    /// Takes out what is told of the way of an answer, or of its framing.
    pub fn forget(&mut self, names: &[&str]) {
        let name = |field: &str| field.split(':').next().unwrap_or_default().to_ascii_lowercase();
        self.fields.retain(|field| !names.contains(&name(field).as_str()));
    }
}

/// All answers of a connection; the last one may be cut.
pub fn parse(mut received: &[u8], mut is_head: bool) -> Vec<Answer> {
    let mut answers = Vec::new();
    while !received.is_empty() {
        let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else {
            answers.push(Answer { status_line: "cut".to_owned(), fields: Vec::new(), body: text(received) });
            break;
        };
        let head = String::from_utf8_lossy(&received[..end]).into_owned();
        received = &received[end + 4..];
        let mut lines = head.split("\r\n").map(str::to_owned);
        let status_line = lines.next().unwrap_or_default();
        let fields: Vec<String> = lines.collect();
        let is_interim = status_line.starts_with("HTTP/1.1 1") || status_line.starts_with("HTTP/1.0 1");
        let has_body =
            !is_interim && !is_head && ![" 204 ", " 304 "].iter().any(|status| status_line.contains(status));
        let body = if has_body { take_body(&mut received, &fields) } else { String::new() };
        is_head &= is_interim;
        answers.push(comparable(status_line, fields, &body));
    }
    answers
}

/// Of an answer with a length or in chunks; `None` while it isn't whole.
pub fn length_of_first(received: &[u8]) -> Option<usize> {
    let end = received.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = text(&received[..end]).to_ascii_lowercase();
    let length = match head.split_once("content-length: ") {
        Some((_, rest)) => rest.split("\r\n").next()?.parse::<usize>().ok()?,
        None => received[end..].windows(5).position(|window| window == b"0\r\n\r\n")? + 5,
    };
    (received.len() >= end + length).then_some(end + length)
}

fn take_body(received: &mut &[u8], fields: &[String]) -> String {
    let value = |name: &str| {
        let fields = fields.iter().filter_map(|field| field.split_once(':'));
        fields.into_iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    if value("transfer-encoding").is_some() {
        return take_chunks(received);
    }
    let length = value("content-length").and_then(|length| length.parse().ok()).unwrap_or(received.len());
    take(received, length)
}

fn take_chunks(received: &mut &[u8]) -> String {
    let mut body = String::new();
    while let Some(at) = received.windows(2).position(|window| window == b"\r\n") {
        let Ok(size) = usize::from_str_radix(&text(&received[..at]), 16) else {
            return body + "(no chunk)";
        };
        take(received, at + 2);
        body += &take(received, size);
        take(received, 2);
        if size == 0 {
            return body;
        }
    }
    body + "(cut)"
}

fn take(received: &mut &[u8], length: usize) -> String {
    let (taken, rest) = received.split_at(length.min(received.len()));
    *received = rest;
    text(taken)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Without what differs from answer to answer by any way.
fn comparable(status_line: String, mut fields: Vec<String>, body: &str) -> Answer {
    let own = ["date:", "x-request-id:"];
    fields.retain(|field| !own.iter().any(|name| field.to_ascii_lowercase().starts_with(name)));
    fields.sort();
    let body = match serde_json::from_str::<Value>(body) {
        Ok(Value::Object(mut members)) => {
            members.remove("request_id");
            Value::Object(members).to_string()
        }
        _ => body.to_owned(),
    };
    Answer { status_line, fields, body }
}
