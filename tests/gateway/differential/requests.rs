//! Requests as clients and attackers write them: whole ones, odd ones, and ones with a byte changed.

use crate::random::Random;

const METHODS: [&str; 7] = ["GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE"];
const TARGETS: [&str; 14] = [
    "/plain/a",
    "/plain/a?b=c",
    "/plain/%C3%A9",
    "/plain/a%20b",
    "/plain/a//b",
    "/plain/../x",
    "/plain/a%2fb",
    "/kept/a",
    "/kept/b?q=1&r=2",
    "/kept/b?r=2&q=1",
    "/kept/a%2Bb",
    "/kept/a+b",
    "/mine/a",
    "/nowhere",
];
const FIELDS: [&str; 26] = [
    "Accept: */*",
    "Accept-Language: de",
    "Connection: keep-alive",
    "Connection: x-tenant-id",
    "Connection: close",
    "Cookie: a=b; portcullis_refresh=x",
    "X-Tenant-Id: t1",
    "X-Tenant-Id: t2",
    "X_Tenant_Id: t3",
    "X-Own: v",
    "X-Own: w",
    "x-forwarded-for: 203.0.113.9",
    "X-Forwarded-User: root",
    "X_Forwarded_User: root",
    "X-Request-Id: mine",
    "Origin: https://a.example",
    "If-None-Match: \"x\"",
    "Range: bytes=0-3",
    "TE: trailers",
    "Expect: nothing",
    "Authorization: Bearer nonsense",
    "X-Empty:",
    "X-Spaces: \t a \t b \t",
    "Cache-Control: no-cache",
    "Upgrade: h2c",
    "Proxy-Connection: keep-alive",
];

/// One request's bytes.
#[derive(Debug, Clone)]
pub struct Made {
    pub bytes: Vec<u8>,
    pub is_head: bool,
    /// `None` for what HTTP/2 can't say, or says otherwise.
    pub parts: Option<Parts>,
}

/// The same for a client of HTTP/2.
#[derive(Debug, Clone)]
pub struct Parts {
    pub method: &'static str,
    pub target: &'static str,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// Fields that belong to HTTP/1 alone, and `Range`: answers over TLS are kept apart, and only a kept one is given in part.
const OF_HTTP_1: [&str; 8] =
    ["connection", "te", "expect", "upgrade", "proxy-connection", "x-spaces", "transfer-encoding", "range"];

/// `token` is good for `/mine`.
pub fn make(random: &mut Random, token: &str) -> Made {
    let method = METHODS[random.below(METHODS.len())];
    let target = TARGETS[random.below(TARGETS.len())];
    let mut fields: Vec<String> =
        (0..random.below(4)).map(|_| FIELDS[random.below(FIELDS.len())].to_owned()).collect();
    if random.chance(30) {
        fields.push(format!("Authorization: Bearer {token}"));
    }
    let lines: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let head = format!("{method} {target} HTTP/1.1\r\nHost: shop.example\r\n{lines}");
    let has_body = !matches!(method, "GET" | "HEAD") || random.chance(10);
    let plain: Vec<u8> = match has_body {
        true => (0..random.below(40)).map(|_| b'a' + random.below(26) as u8).collect(),
        false => Vec::new(),
    };
    let (framing, body) = if has_body { framed(&plain, random) } else { (String::new(), Vec::new()) };
    let mut parts = Some(Parts { method, target, fields: split(&fields), body: plain });
    parts = parts.filter(|parts| parts.fields.iter().all(|(name, _)| !OF_HTTP_1.contains(&name.as_str())));
    let mut bytes = head.into_bytes();
    if random.chance(15) {
        spoil(&mut bytes, random);
        parts = None;
    }
    let is_head = bytes.starts_with(b"HEAD ");
    bytes.extend(format!("{framing}\r\n").into_bytes());
    bytes.extend(body);
    Made { bytes, is_head, parts }
}

/// In lower case, as HTTP/2 has them.
fn split(fields: &[String]) -> Vec<(String, String)> {
    let pairs = fields.iter().filter_map(|field| field.split_once(':'));
    pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect()
}

/// The field that frames it, and its bytes.
fn framed(body: &[u8], random: &mut Random) -> (String, Vec<u8>) {
    if random.chance(60) {
        return (format!("Content-Length: {}\r\n", body.len()), body.to_vec());
    }
    let mut chunks = Vec::new();
    for chunk in body.chunks(1 + random.below(9)) {
        chunks.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        chunks.extend(chunk);
        chunks.extend(b"\r\n");
    }
    chunks.extend(b"0\r\n\r\n");
    ("Transfer-Encoding: chunked\r\n".to_owned(), chunks)
}

/// One byte becomes another. Ends of lines and the framing stay: both sides would wait for the other.
fn spoil(head: &mut [u8], random: &mut Random) {
    const OTHERS: &[u8] = b"\0\x01\t ;:,/\\%?#\"<>{}|^`~\x7f\x80\xe9\xffAz09";
    let at = random.below(head.len());
    if !matches!(head[at], b'\r' | b'\n') {
        head[at] = OTHERS[random.below(OTHERS.len())];
    }
}
