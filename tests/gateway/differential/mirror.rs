//! An upstream that answers with the very request that it was sent, and notes what no upstream should be sent.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Values that differ from request to request, by the framing of a body, or with TLS.
const VOLATILE: [&str; 5] =
    ["x-request-id", "traceparent", "content-length", "transfer-encoding", "x-forwarded-proto"];
/// What an answer that is kept isn't told apart by, so that the first of them is in it.
const NOT_KEYED: [&str; 5] = ["accept", "accept-language", "cache-control", "if-none-match", "range"];

pub struct Mirror {
    address: SocketAddr,
    requests: Arc<AtomicU64>,
    faults: Arc<Mutex<Vec<String>>>,
}

impl Mirror {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let (requests, faults) = (Arc::<AtomicU64>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (counted, noted) = (requests.clone(), faults.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, counted.clone(), noted.clone()));
            }
        });
        Self { address, requests, faults }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// What came that was no request.
    pub fn faults(&self) -> Vec<String> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(mut stream: TcpStream, requests: Arc<AtomicU64>, faults: Arc<Mutex<Vec<String>>>) {
    let mut received = Vec::new();
    loop {
        match read(&mut stream, &mut received).await {
            Ok(Some(request)) => {
                requests.fetch_add(1, Ordering::Relaxed);
                if stream.write_all(&request.answer()).await.is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(fault) => {
                faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
                return;
            }
        }
    }
}

struct Request {
    method: String,
    target: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    /// Told in one form, whatever framing the body had.
    fn answer(&self) -> Vec<u8> {
        let mut fields: Vec<String> = self
            .fields
            .iter()
            .filter(|(name, _)| !VOLATILE.contains(&name.as_str()))
            .filter(|(name, _)| !(self.target.starts_with("/kept") && NOT_KEYED.contains(&name.as_str())))
            .map(|(name, value)| format!("{name}: {value}\n"))
            .collect();
        fields.sort();
        let body = String::from_utf8_lossy(&self.body);
        let told = format!("{} {}\n{}\n{body}", self.method, self.target, fields.concat());
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n", told.len());
        if self.method == "HEAD" { head.into_bytes() } else { [head, told].concat().into_bytes() }
    }
}

/// `None` at the end of the connection.
async fn read(stream: &mut TcpStream, received: &mut Vec<u8>) -> Result<Option<Request>, String> {
    let end = loop {
        if let Some(at) = find(received, b"\r\n\r\n") {
            break at + 4;
        }
        if !more(stream, received).await {
            return if received.is_empty() { Ok(None) } else { Err(shown("a head without end", received)) };
        }
    };
    let head: Vec<u8> = received.drain(..end).collect();
    let mut room = [httparse::EMPTY_HEADER; 200];
    let mut parsed = httparse::Request::new(&mut room);
    if !parsed.parse(&head).is_ok_and(|status| status.is_complete()) {
        return Err(shown("no request", &head));
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        target: parsed.path.unwrap_or_default().to_owned(),
        fields: parsed
            .headers
            .iter()
            .map(|field| (field.name.to_ascii_lowercase(), text(field.value)))
            .collect(),
        body: Vec::new(),
    };
    request.body = body(stream, received, &request, &head).await?;
    Ok(Some(request))
}

/// By exactly one framing.
async fn body(
    stream: &mut TcpStream,
    received: &mut Vec<u8>,
    request: &Request,
    head: &[u8],
) -> Result<Vec<u8>, String> {
    let of = |name: &str| -> Vec<&str> {
        request.fields.iter().filter(|(own, _)| own == name).map(|(_, value)| value.as_str()).collect()
    };
    match (of("content-length").as_slice(), of("transfer-encoding").as_slice()) {
        ([], []) => Ok(Vec::new()),
        ([length], []) => {
            let length: usize = length.parse().map_err(|_| shown("no length", head))?;
            take(stream, received, length).await.ok_or_else(|| shown("a body that is cut", head))
        }
        ([], ["chunked"]) => chunks(stream, received).await.ok_or_else(|| shown("chunks that are cut", head)),
        _ => Err(shown("two framings", head)),
    }
}

async fn chunks(stream: &mut TcpStream, received: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = loop {
            match find(received, b"\r\n") {
                Some(at) => break at,
                None if more(stream, received).await => {}
                None => return None,
            }
        };
        let line = take(stream, received, end + 2).await?;
        let size = usize::from_str_radix(std::str::from_utf8(&line[..end]).ok()?, 16).ok()?;
        whole.extend(take(stream, received, size).await?);
        if take(stream, received, 2).await? != b"\r\n" {
            return None;
        }
        if size == 0 {
            return Some(whole);
        }
    }
}

async fn take(stream: &mut TcpStream, received: &mut Vec<u8>, length: usize) -> Option<Vec<u8>> {
    while received.len() < length {
        if !more(stream, received).await {
            return None;
        }
    }
    Some(received.drain(..length).collect())
}

async fn more(stream: &mut TcpStream, received: &mut Vec<u8>) -> bool {
    matches!(stream.read_buf(received).await, Ok(length) if length > 0)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn shown(what: &str, bytes: &[u8]) -> String {
    format!("{what}: {:?}", String::from_utf8_lossy(bytes))
}
