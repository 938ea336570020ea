//! Speaks HTTP to the gateway that runs on a file: by its control socket, which needs no token, or to its admin
//! port with one.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use crate::server::load::Reach;
use crate::server::run_file::Running;

const CONNECT: Duration = Duration::from_secs(3);
/// A reload of a large file takes a moment.
const ANSWER: Duration = Duration::from_secs(60);
const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);

/// How the running gateway is reached.
#[derive(Debug, Args)]
pub struct AdminArg {
    /// The control socket; that of the configuration file unless given
    #[arg(long, value_name = "PATH", env = "PORTCULLIS_CONTROL", global = true)]
    control: Option<PathBuf>,
    /// The admin address, to ask over HTTP in place of the control socket
    #[arg(long, value_name = "IP:PORT", env = "PORTCULLIS_ADMIN", global = true)]
    admin: Option<SocketAddr>,
}

/// Who asks over HTTP.
#[derive(Debug, Args)]
pub struct TokenArg {
    /// The access token of an operator; the control socket needs none
    #[arg(long, env = "PORTCULLIS_TOKEN", hide_env_values = true, global = true)]
    pub token: Option<String>,
}

/// Whether an answer over HTTP can be hoped for without a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Operator,
    Nobody,
}

pub struct Question<'q> {
    pub method: &'q str,
    pub path: &'q str,
    pub body: Option<&'q Value>,
    pub need: Need,
    /// The longest silence within the answer.
    pub patience: Duration,
}

impl<'q> Question<'q> {
    pub fn get(path: &'q str) -> Self {
        Self { method: "GET", path, body: None, need: Need::Operator, patience: ANSWER }
    }

    pub fn post(path: &'q str, body: &'q Value) -> Self {
        Self { method: "POST", body: Some(body), ..Self::get(path) }
    }
}

/// The head is read; the body is as it comes.
pub struct Answer {
    pub status: u16,
    pub body: BufReader<Box<dyn Read>>,
    /// For messages.
    from: String,
}

impl Answer {
    pub fn json(mut self) -> Result<Value, String> {
        let mut body = String::new();
        self.body.read_to_string(&mut body).map_err(|error| self.wrong(&error.to_string()))?;
        serde_json::from_str(&body).map_err(|_| self.wrong(&format!("{}: {}", self.status, body.trim())))
    }

    pub fn wrong(&self, reason: &str) -> String {
        format!("asking {}: {reason}", self.from)
    }
}

/// What a refusal says, for people.
pub fn refusal(status: u16, body: &Value) -> String {
    let word = |name: &str| body[name].as_str();
    match word("problem") {
        Some(problem) => problem.to_owned(),
        None => {
            let code = word("code").or(word("error")).unwrap_or("no code");
            format!("refused with {status} {code}: {}", word("detail").unwrap_or_default())
        }
    }
}

/// Has the gateway that runs on the file read what was revoked in its embedded store, so that it counts at once.
/// Where none runs, or none can be asked, it reads that by itself.
pub fn tell_of_revocations(config: &Path) {
    let control = std::env::var_os("PORTCULLIS_CONTROL").map(PathBuf::from);
    let admin = AdminArg { control, admin: None };
    let order = serde_json::json!({});
    let question = Question { patience: CONNECT, ..Question::post("/api/revocations/catch-up", &order) };
    let _ = admin.open(config, None, &question);
}

impl AdminArg {
    /// Status and JSON of the answer.
    pub fn ask(
        &self,
        config: &Path,
        token: Option<&str>,
        question: &Question<'_>,
    ) -> Result<(u16, Value), String> {
        let answer = self.open(config, token, question)?;
        Ok((answer.status, answer.json()?))
    }

    /// The first way that somebody answers on.
    pub fn open(
        &self,
        config: &Path,
        token: Option<&str>,
        question: &Question<'_>,
    ) -> Result<Answer, String> {
        let mut tried = Vec::new();
        for way in self.ways(config) {
            if matches!(way, Way::Http(_))
                && self.admin.is_none()
                && token.is_none()
                && question.need == Need::Operator
            {
                tried.push("over HTTP it takes --token, of an operator".to_owned());
                continue;
            }
            match way.connect() {
                Ok(stream) => {
                    let asked = ask(stream, &way, token, question);
                    return asked.map_err(|error| format!("asking {}: {error}", way.name()));
                }
                Err(error) => tried.push(format!("{}: {}", way.name(), words(&error))),
            }
        }
        Err(format!("no gateway was reached. {}", tried.join("; ")))
    }

    fn ways(&self, config: &Path) -> Vec<Way> {
        if let Some(address) = self.admin {
            return vec![Way::Http(address)];
        }
        if let Some(path) = &self.control {
            return vec![Way::Socket(path.clone())];
        }
        let running = Running::on(config);
        let reach = Reach::of(config);
        let mut ways: Vec<Way> = Vec::new();
        ways.extend(running.as_ref().and_then(|running| running.control.clone()).map(Way::Socket));
        let by_file = std::path::absolute(&reach.control).unwrap_or(reach.control);
        if !ways.iter().any(|way| matches!(way, Way::Socket(path) if *path == by_file)) {
            ways.push(Way::Socket(by_file));
        }
        ways.extend(running.map(|running| Way::Http(running.admin)));
        let by_file = reach.admin.unwrap_or(DEFAULT);
        if !ways.iter().any(|way| matches!(way, Way::Http(address) if *address == by_file)) {
            ways.push(Way::Http(by_file));
        }
        ways
    }
}

enum Way {
    Socket(PathBuf),
    Http(SocketAddr),
}

trait Stream: Read + Write {
    fn set_patience(&self, patience: Duration) -> std::io::Result<()>;
}

impl Stream for UnixStream {
    fn set_patience(&self, patience: Duration) -> std::io::Result<()> {
        self.set_read_timeout(Some(patience))
    }
}

impl Stream for TcpStream {
    fn set_patience(&self, patience: Duration) -> std::io::Result<()> {
        self.set_read_timeout(Some(patience))
    }
}

impl Way {
    fn name(&self) -> String {
        match self {
            Self::Socket(path) => path.display().to_string(),
            Self::Http(address) => address.to_string(),
        }
    }

    fn connect(&self) -> std::io::Result<Box<dyn Stream>> {
        match self {
            Self::Socket(path) => Ok(Box::new(UnixStream::connect(path)?)),
            Self::Http(address) => {
                let mut address = *address;
                if address.ip().is_unspecified() {
                    address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
                }
                Ok(Box::new(TcpStream::connect_timeout(&address, CONNECT)?))
            }
        }
    }

    /// What the admin port takes as its own name in any case.
    fn host(&self) -> String {
        match self {
            Self::Http(address) if !address.ip().is_unspecified() => address.to_string(),
            _ => "localhost".to_owned(),
        }
    }
}

fn words(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "not there".to_owned(),
        ErrorKind::ConnectionRefused => "nobody listens".to_owned(),
        ErrorKind::PermissionDenied => "only the gateway's own user may open it".to_owned(),
        _ => error.to_string(),
    }
}

/// HTTP/1.0, so that the answer comes without chunks and ends with the connection.
fn ask(
    mut stream: Box<dyn Stream>,
    way: &Way,
    token: Option<&str>,
    question: &Question<'_>,
) -> std::io::Result<Answer> {
    stream.set_patience(question.patience)?;
    let body = question.body.map(Value::to_string).unwrap_or_default();
    let authorization = match (way, token) {
        (Way::Http(_), Some(token)) => {
            let token: String = token.chars().filter(char::is_ascii_graphic).collect();
            format!("Authorization: Bearer {token}\r\n")
        }
        _ => String::new(),
    };
    write!(
        stream,
        "{} {} HTTP/1.0\r\nHost: {}\r\n{authorization}Content-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        question.method,
        question.path,
        way.host(),
        body.len()
    )?;
    let stream: Box<dyn Read> = Box::new(Reading(stream));
    let mut answer = BufReader::new(stream);
    let status = read_head(&mut answer)?;
    Ok(Answer { status, body: answer, from: way.name() })
}

/// The half of a stream that reads.
struct Reading(Box<dyn Stream>);

impl Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

fn read_head(answer: &mut impl BufRead) -> std::io::Result<u16> {
    let mut line = String::new();
    answer.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    while line.trim_end() != "" {
        line.clear();
        answer.read_line(&mut line)?;
    }
    status.ok_or_else(|| std::io::Error::other("no HTTP came back"))
}
