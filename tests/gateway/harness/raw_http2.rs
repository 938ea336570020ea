//! One HTTP/2 request whose fields are written byte by byte, legal or not.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Gateway;
use super::http2::connect;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const EMPTY_SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
/// END_STREAM and END_HEADERS.
const WHOLE: u8 = 5;
/// `:status: 400` of HPACK's static table.
const BAD_REQUEST: u8 = 0x80 | 12;

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    BadRequest,
    /// Another answer: the first bytes of its head.
    Answered(Vec<u8>),
    /// The stream was reset, or the connection closed.
    Refused,
}

/// A field in HPACK, as a literal that nothing is assumed of.
pub fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    let length = |text: &[u8]| u8::try_from(text.len()).ok().filter(|length| *length < 127).expect("short");
    [&[0, length(name)], name, &[length(value)], value].concat()
}

/// Sends a request without a body on a connection of its own.
pub async fn raw_http2(gateway: &Gateway, fields: &[Vec<u8>]) -> Outcome {
    let mut connection = connect(gateway).await;
    let block = fields.concat();
    let length = u32::try_from(block.len()).expect("short").to_be_bytes();
    let head = [length[1], length[2], length[3], HEADERS, WHOLE, 0, 0, 0, 1];
    let sent = [PREFACE, &EMPTY_SETTINGS, &head, &block].concat();
    connection.write_all(&sent).await.expect("the gateway reads");
    loop {
        let mut head = [0; 9];
        if connection.read_exact(&mut head).await.is_err() {
            return Outcome::Refused;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        if connection.read_exact(&mut payload).await.is_err() {
            return Outcome::Refused;
        }
        match head[3] {
            // A change of the table's size may come before.
            HEADERS if payload.iter().find(|byte| **byte & 0xE0 != 0x20) == Some(&BAD_REQUEST) => {
                return Outcome::BadRequest;
            }
            HEADERS => return Outcome::Answered(payload),
            RST_STREAM | GOAWAY => return Outcome::Refused,
            _ => {}
        }
    }
}

/// The types of all frames that come on an idle connection until it is closed.
pub async fn frames_until_closed(gateway: &Gateway) -> Vec<u8> {
    let mut connection = connect(gateway).await;
    connection.write_all(&[PREFACE, &EMPTY_SETTINGS].concat()).await.expect("the gateway reads");
    let (mut types, mut head) = (Vec::new(), [0; 9]);
    while connection.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        if connection.read_exact(&mut payload).await.is_err() {
            break;
        }
        types.push(head[3]);
    }
    types
}
