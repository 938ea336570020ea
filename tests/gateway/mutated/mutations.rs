//! Requests as text, and what may be wrong with one.

use crate::random::Random;

pub struct Request {
    /// Before the request line.
    before: Vec<u8>,
    pub method: Vec<u8>,
    target: Vec<u8>,
    version: Vec<u8>,
    fields: Vec<Vec<u8>>,
    line_end: Vec<u8>,
    body: Vec<u8>,
}

impl Request {
    pub fn good(random: &mut Random, id: &str) -> Self {
        let answer = random.below(9);
        let method =
            *pick(random, &["GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]);
        let mut request = Self {
            before: Vec::new(),
            method: method.into(),
            target: format!("/echo/{id}/first?answer={answer}").into(),
            version: "HTTP/1.1".into(),
            fields: vec!["Host: gateway".into()],
            line_end: "\r\n".into(),
            body: Vec::new(),
        };
        if matches!(method, "POST" | "PUT" | "PATCH") {
            request.put_body(random);
        }
        request
    }

    fn put_body(&mut self, random: &mut Random) {
        let length = *pick(random, &[0, 1, 5, 300, 20_000]);
        let text = vec![b'x'; length];
        if random.chance(50) {
            self.fields.push(format!("Content-Length: {length}").into());
            self.body = text;
            return;
        }
        self.fields.push("Transfer-Encoding: chunked".into());
        for chunk in text.chunks(1 + random.below(9000)) {
            self.body.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            self.body.extend(chunk);
            self.body.extend(b"\r\n");
        }
        self.body.extend(b"0\r\n\r\n");
    }

    pub fn bytes(&self) -> Vec<u8> {
        let line = [&self.method[..], &self.target, &self.version].join(&b' ');
        let mut bytes = self.before.clone();
        for line in [&line].into_iter().chain(&self.fields) {
            bytes.extend(line);
            bytes.extend(&self.line_end);
        }
        bytes.extend(&self.line_end);
        bytes.extend(&self.body);
        bytes
    }
}

/// Fields that are harmless, hop-by-hop, reserved, about the framing, or no fields at all.
const FIELDS: [&[u8]; 56] = [
    b"Accept: a",
    b"Accept: b",
    b"Authorization: Basic YTpi",
    b"Connection: close",
    b"Connection: keep-alive",
    b"Connection: x-a, Accept",
    b"Connection: upgrade",
    b"Content-Length: 0",
    b"Content-Length: 5",
    b"Content-Length: 5, 5",
    b"Content-Length: +5",
    b"Content-Length: 0x5",
    b"Content-Length: 5 ",
    b"Content-Length: -1",
    b"Content-Length: 99999999999999999999",
    b"content-length: 00005",
    b"Cookie: a=1",
    b"Cookie: b=2; __Host-portcullis_refresh=x",
    b"Expect: 100-continue",
    b"Expect: something",
    b"Forwarded: for=192.0.2.1",
    b"Host: gateway",
    b"Host: other",
    b"Host: gateway:80",
    b"Host:",
    b"If-None-Match: \"a\"",
    b"Keep-Alive: timeout=5",
    b"Proxy-Connection: keep-alive",
    b"Range: bytes=0-1",
    b"TE: trailers",
    b"TE: gzip",
    b"Trailer: x-t",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: Chunked",
    b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: \x0bchunked",
    b"Transfer_Encoding: chunked",
    b"Transfer-Encoding : chunked",
    b"Upgrade: websocket",
    b"Upgrade: h2c",
    b"X-A: 1",
    b"X-Forwarded-For: 192.0.2.1",
    b"X-Forwarded-User: root",
    b"X_Forwarded_User: root",
    b"X-Request-Id: mine",
    b"x-a: \xe4",
    b"x-a: a\x00b",
    b"x-a: a\rb",
    b"x-a: a\n b",
    b" x-folded: 1",
    b": empty",
    b"no colon",
    b"x a: 1",
    b"x-a:\t tabs\t",
];

const METHODS: [&[u8]; 8] = [b"get", b"TRACE", b"CONNECT", b"PROPFIND", b"G:T", b"GE\tT", b"", b"G\xffT"];

const VERSIONS: [&[u8]; 6] = [b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"http/1.1", b"HTTP/1.1 ", b""];

/// What is put into a target, or replaces its beginning.
const TARGET_PARTS: [&[u8]; 18] = [
    b"//", b"/./", b"/../", b"%2e%2e/", b"%2F", b"%00", b"%", b"%zz", b" ", b"\\", b"\x01", b"\xe4", b"#f",
    b"?", b";a", b"+", b"\"<>", b"%C3%A4",
];

pub fn mutate(random: &mut Random, request: &mut Request) {
    match random.below(12) {
        0 => request.before = pick(random, &[&b"\r\n"[..], b"\r\n\r\n", b"\n", b" ", b"\x00"]).to_vec(),
        1 => request.method = pick(random, &METHODS).to_vec(),
        2 | 3 => change_target(random, &mut request.target),
        4 => request.version = pick(random, &VERSIONS).to_vec(),
        5 => request.line_end = pick(random, &[&b"\n"[..], b"\r", b"\r\r\n"]).to_vec(),
        6 => {
            let index = random.below(request.fields.len());
            request.fields.remove(index);
            if request.fields.is_empty() {
                request.fields.push(b"X-A: 1".to_vec());
            }
        }
        7 => {
            let length = *pick(random, &[1_000, 9_000, 70_000]);
            request.fields.push([&b"x-long: "[..], &vec![b'l'; length]].concat());
        }
        8 => {
            let count = *pick(random, &[50, 110, 600]);
            request.fields.extend((0..count).map(|number| format!("x-{number}: 1").into_bytes()));
        }
        _ => {
            let index = random.below(request.fields.len() + 1);
            request.fields.insert(index, pick(random, &FIELDS).to_vec());
        }
    }
}

fn change_target(random: &mut Random, target: &mut Vec<u8>) {
    match random.below(6) {
        0 => target.splice(
            0..0,
            pick(random, &[&b"http://gateway"[..], b"http://other", b"https://gateway"]).to_vec(),
        ),
        1 => target.splice(.., pick(random, &[&b"*"[..], b"gateway:80", b"", b"/"]).to_vec()),
        2 => {
            let long = vec![b'a'; *pick(random, &[2_000, 9_000])];
            let at = target.len().min(1);
            target.splice(at..at, long)
        }
        _ => {
            let at = random.below(target.len() + 1);
            target.splice(at..at, pick(random, &TARGET_PARTS).to_vec())
        }
    };
}

pub fn change_a_byte(random: &mut Random, bytes: &mut Vec<u8>) {
    let at = random.below(bytes.len());
    let byte = *pick(random, b"\x00\t\n\r :,;/%?#0a\x7f\xff");
    match random.below(3) {
        0 => bytes[at] = byte,
        1 => bytes.insert(at, byte),
        _ => drop(bytes.remove(at)),
    }
}

fn pick<'a, T>(random: &mut Random, all: &'a [T]) -> &'a T {
    &all[random.below(all.len())]
}
