//! A backend that reads strictly, remembers what it was sent, and answers in several forms.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// One request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    pub line: String,
    /// In the order of their names.
    pub fields: Vec<String>,
    pub body: Vec<u8>,
    pub is_well_formed: bool,
}

type Tape = Arc<Mutex<Vec<Heard>>>;

/// Gone when dropped.
pub struct Backend {
    pub address: SocketAddr,
    tape: Tape,
    task: JoinHandle<()>,
}

impl Backend {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let tape = Tape::default();
        let task = tokio::spawn({
            let tape = tape.clone();
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, tape.clone()));
                }
            }
        });
        Self { address, tape, task }
    }

    /// What came since this was asked last.
    pub fn take(&self) -> Vec<Heard> {
        std::mem::take(&mut *self.tape.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, tape: Tape) {
    let mut received = Vec::new();
    while let Some(heard) = read(&mut stream, &mut received).await {
        let answer = answer_to(&heard);
        let goes_on = heard.is_well_formed && !answer.ends;
        tape.lock().unwrap_or_else(PoisonError::into_inner).push(heard);
        if stream.write_all(&answer.bytes).await.is_err() || !goes_on {
            return;
        }
    }
}

/// `None` at the end of the connection.
async fn read(stream: &mut TcpStream, received: &mut Vec<u8>) -> Option<Heard> {
    let end = loop {
        if let Some(at) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        more(stream, received).await?;
    };
    let head: Vec<u8> = received.drain(..end + 4).collect();
    let head = head.escape_ascii().to_string();
    let mut lines = head.trim_end_matches("\\r\\n").split("\\r\\n").map(str::to_owned);
    let line = lines.next().unwrap_or_default();
    let mut fields: Vec<String> = lines.collect();
    fields.sort();
    let mut heard = Heard { line, fields, body: Vec::new(), is_well_formed: true };
    heard.is_well_formed = is_well_formed(&heard);
    if !heard.is_well_formed {
        return Some(heard);
    }
    let length = heard.values("content-length").next().and_then(|length| length.parse::<usize>().ok());
    if heard.values("transfer-encoding").next().is_some() {
        heard.body = chunked(stream, received).await?;
    } else if let Some(length) = length {
        while received.len() < length {
            more(stream, received).await?;
        }
        heard.body = received.drain(..length).collect();
    }
    heard.fields.retain(|field| !is_of_one_request(field));
    Some(heard)
}

async fn chunked(stream: &mut TcpStream, received: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = loop {
            if let Some(at) = received.windows(2).position(|window| window == b"\r\n") {
                break received.drain(..at + 2).collect::<Vec<u8>>();
            }
            more(stream, received).await?;
        };
        let size = usize::from_str_radix(std::str::from_utf8(&line).ok()?.trim(), 16).ok()?;
        while received.len() < size + 2 {
            more(stream, received).await?;
        }
        body.extend(received.drain(..size));
        received.drain(..2);
        if size == 0 {
            return Some(body);
        }
    }
}

async fn more(stream: &mut TcpStream, received: &mut Vec<u8>) -> Option<()> {
    let length = stream.read_buf(received).await.ok()?;
    (length > 0).then_some(())
}

impl Heard {
    /// `name` in lower case.
    fn values<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h str> {
        let fields = self.fields.iter().filter_map(|field| field.split_once(':'));
        fields.filter(move |(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// A request line of three parts, fields with names, one framing.
fn is_well_formed(heard: &Heard) -> bool {
    let is_line = heard.line.split(' ').count() == 3 && heard.line.ends_with(" HTTP/1.1");
    let is_field = |field: &String| {
        let name = field.split_once(':').map_or("", |(name, _)| name);
        !name.is_empty() && !name.contains([' ', '\\'])
    };
    let lengths: Vec<_> = heard.values("content-length").collect();
    let codings: Vec<_> = heard.values("transfer-encoding").collect();
    let is_framing = match (&lengths[..], &codings[..]) {
        ([], []) => true,
        ([length], []) => length.bytes().all(|byte| byte.is_ascii_digit()) && !length.is_empty(),
        ([], [coding]) => coding.eq_ignore_ascii_case("chunked"),
        _ => false,
    };
    is_line && is_framing && heard.fields.iter().all(is_field) && heard.values("host").count() == 1
}

/// What differs from request to request by any way.
fn is_of_one_request(field: &str) -> bool {
    let field = field.to_ascii_lowercase();
    ["x-request-id:", "traceparent:"].iter().any(|name| field.starts_with(name))
}

struct Answer {
    bytes: Vec<u8>,
    ends: bool,
}

/// The form is what the target asks for; the body says which request it is for.
fn answer_to(heard: &Heard) -> Answer {
    let body = format!("{} with {} bytes", heard.line, heard.body.len());
    let length = body.len();
    let form = heard.line.split_once("answer=").and_then(|(_, form)| form.chars().next());
    let is_head = heard.line.starts_with("HEAD ");
    let shown = if is_head { "" } else { &body };
    let (text, ends) = match form {
        _ if !heard.is_well_formed => {
            ("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_owned(), true)
        }
        Some('1') if !is_head => (
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"),
            false,
        ),
        Some('2') => ("HTTP/1.1 204 No Content\r\n\r\n".to_owned(), false),
        Some('3') => (format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{shown}"), true),
        Some('4') => {
            let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
            (format!("{hints}HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{shown}"), false)
        }
        Some('5') => (format!("HTTP/1.1 404 Not Found\r\nContent-Length: {length}\r\n\r\n{shown}"), false),
        Some('8') => (format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{shown}"), false),
        Some('6') => ("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n".to_owned(), false),
        _ => {
            (format!("HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nContent-Length: {length}\r\n\r\n{shown}"), false)
        }
    };
    Answer { bytes: text.into_bytes(), ends }
}
