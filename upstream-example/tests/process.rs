//! The real program over real sockets: it starts, streams, and leaves when told to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

struct Backend {
    process: Child,
    address: String,
}

impl Backend {
    fn start() -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_upstream-example"))
            .args(["--listen", "127.0.0.1:0"])
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program was built with this test");
        let mut line = String::new();
        let stderr = process.stderr.take().expect("stderr is piped");
        BufReader::new(stderr).read_line(&mut line).expect("a line that says where it listens");
        let address = line.trim().rsplit_once("http://").expect("the line ends in a URL").1.to_owned();
        Self { process, address }
    }

    /// Sends `request` and reads until `expected` has come.
    fn exchange(&self, request: &str, expected: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut received = Vec::new();
        let mut chunk = [0; 4096];
        while !received.windows(expected.len()).any(|window| window == expected) {
            let length = stream.read(&mut chunk).expect("it answers");
            assert!(length > 0, "closed after {:?}", String::from_utf8_lossy(&received));
            received.extend_from_slice(&chunk[..length]);
        }
        stream
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_websocket_says_who_is_calling_and_echoes() {
    let backend = Backend::start();
    let handshake = "GET /ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        x-forwarded-preferred-username: alice\r\n\r\n";

    let mut stream = backend.exchange(handshake, b"\x81\x0chello, alice");
    // A masked text frame, the mask being zero (RFC 6455 §5.3).
    stream.write_all(b"\x81\x82\0\0\0\0hi").expect("it reads");
    let mut frame = [0; 4];
    stream.read_exact(&mut frame).expect("it echoes");

    assert_eq!(&frame, b"\x81\x02hi");
}

#[test]
fn it_leaves_cleanly_on_sigterm_though_a_stream_is_open() {
    let mut backend = Backend::start();
    let _open = backend.exchange("GET /events HTTP/1.1\r\nhost: a\r\n\r\n", b"event: tick\ndata: 2\n");

    let told = Command::new("kill").arg(backend.process.id().to_string()).status().expect("kill exists");

    assert!(told.success());
    assert!(backend.process.wait().expect("it is ours to wait for").success());
}
