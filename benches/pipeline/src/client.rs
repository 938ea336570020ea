//! A client for what wrk can't do: one request at a time on one connection, its answer read back.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::Failure;

const PATIENCE: Duration = Duration::from_secs(20);

pub struct Client {
    address: String,
    connection: BufReader<TcpStream>,
}

pub struct Answer {
    pub status: u16,
    fields: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    /// By its name in lower case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }
}

impl Client {
    pub fn connect(address: &str) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { address: address.to_owned(), connection: BufReader::new(stream) })
    }

    pub fn get(&mut self, path: &str, token: Option<&str>) -> Result<Answer, Failure> {
        let head = head("GET", path, &self.address, token);
        self.exchange(&format!("{head}\r\n"))
    }

    pub fn post(&mut self, path: &str, token: Option<&str>, json: &str) -> Result<Answer, Failure> {
        self.send("POST", path, token, json)
    }

    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        token: Option<&str>,
        json: &str,
    ) -> Result<Answer, Failure> {
        let head = head(method, path, &self.address, token);
        let length = json.len();
        self.exchange(&format!(
            "{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{json}"
        ))
    }

    fn exchange(&mut self, request: &str) -> Result<Answer, Failure> {
        self.connection.get_mut().write_all(request.as_bytes())?;
        let status_line = self.line()?;
        let status = status_line.split(' ').nth(1).ok_or("an answer without a status")?.parse()?;
        let (mut length, mut fields) = (0, Vec::new());
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':') {
                let (name, value) = (name.to_ascii_lowercase(), value.trim().to_owned());
                if name == "content-length" {
                    length = value.parse()?;
                }
                fields.push((name, value));
            }
        }
        let mut body = vec![0; length];
        self.connection.read_exact(&mut body)?;
        Ok(Answer { status, fields, body: String::from_utf8_lossy(&body).into_owned() })
    }

    /// Stays open until it is dropped.
    pub fn into_connection(self) -> TcpStream {
        self.connection.into_inner()
    }

    fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        if self.connection.read_line(&mut line)? == 0 {
            return Err(format!("{} closed the connection", self.address).into());
        }
        Ok(line.trim_end().to_owned())
    }
}

fn head(method: &str, path: &str, host: &str, token: Option<&str>) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n");
    if let Some(token) = token {
        head += &format!("Authorization: Bearer {token}\r\n");
    }
    head
}
