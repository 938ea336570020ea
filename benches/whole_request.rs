//! One request after the other over one connection, through the real binary to a real socket: the
//! latency that a single client sees. `./dev bench` measures throughput, next to bare Pingora.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use criterion::{Criterion, criterion_group, criterion_main};
use portcullis::clock::{now, unix_seconds};
use portcullis::identity::Identity;
use portcullis::identity::token::KeyRing;
use portcullis::server::load::load;
use uuid::Uuid;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

struct Gateway(Child);

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn whole_request(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let (upstream, proxy, admin) = (serve_upstream(), free_port(), free_port());
    let config = folder.path().join("gateway.yaml");
    std::fs::write(&config, yaml(folder.path(), upstream, proxy, admin)).expect("a file");
    let token = mint(&config);
    let gateway = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["serve", "--config"])
        .arg(&config)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the gateway starts");
    let _gateway = Gateway(gateway);

    let mut group = criterion.benchmark_group("whole_request");
    for (name, path) in [("public", "/public"), ("token, limit and role", "/protected")] {
        let mut stream = connect(proxy);
        let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n");
        group.bench_function(name, |bencher| bencher.iter(|| exchange(&mut stream, &request)));
    }
    group.finish();
}

fn exchange(stream: &mut TcpStream, request: &str) {
    stream.write_all(request.as_bytes()).expect("the gateway reads");
    let mut answer = [0; 4096];
    let mut read = 0;
    while !answer[..read].ends_with(b"\r\n\r\n{}") {
        let more = stream.read(&mut answer[read..]).expect("the gateway answers");
        assert!(more > 0, "the connection was closed: {}", String::from_utf8_lossy(&answer[..read]));
        read += more;
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
}

fn yaml(folder: &std::path::Path, upstream: u16, proxy: u16, admin: u16) -> String {
    format!(
        "version: 1
listen: {{ proxy: [{{ address: \"127.0.0.1:{proxy}\" }}], admin: \"127.0.0.1:{admin}\" }}
storage: {{ users: \"sqlite://{}/users.db\", state: embedded }}
tokens: {{ issuer: bench, audience: bench, keys: [{{ id: k, algorithm: HS256, secret: gz5Zd8fQ1vXk3pW7sLr0TnYb4Hc6JmEu }}] }}
upstreams: {{ backend: {{ servers: [\"127.0.0.1:{upstream}\"] }} }}
limits: {{ per-user: {{ rate: 1000000/1s, by: user }} }}
routes:
  - {{ path: /public, upstream: backend, access: public }}
  - {{ path: /protected, upstream: backend, access: {{ roles: [user] }}, limits: [per-user] }}
",
        folder.display()
    )
}

fn mint(config: &std::path::Path) -> String {
    let policy = load(config).expect("the file above is good").policy;
    let keys = KeyRing::new(&policy.tokens).expect("the key above is good");
    let issued_at = unix_seconds(now());
    keys.mint(&Identity {
        user_id: Uuid::now_v7(),
        username: "bench".into(),
        email: None,
        roles: vec!["user".into()],
        scopes: Vec::new(),
        amr: Vec::new(),
        session_id: Uuid::now_v7(),
        token_id: Uuid::now_v7(),
        version: 1,
        issued_at,
        expires_at: issued_at + 3600,
    })
}

/// Answers every request alike, each connection on a thread of its own.
fn serve_upstream() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    port
}

fn answer(mut stream: TcpStream) {
    let mut request = [0; 4096];
    // The client sends one request at a time, so one read holds it.
    while stream.read(&mut request).is_ok_and(|read| read > 0) {
        if stream.write_all(ANSWER).is_err() {
            return;
        }
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

fn connect(port: u16) -> TcpStream {
    loop {
        if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
            stream.set_nodelay(true).expect("it is open");
            return stream;
        }
        std::thread::yield_now();
    }
}

criterion_group!(benches, whole_request);
criterion_main!(benches);
