//! `portcullis tail`: the running gateway's decisions as they are made.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::admin_client::AdminArg;
use super::{ConfigArg, OutputArg, print};

const CONNECT: Duration = Duration::from_secs(3);
/// The gateway sends an empty line more often than this.
const SILENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub struct Tail {
    /// Of this route, by its name
    #[arg(long)]
    route: Option<String>,
    /// allow or deny
    #[arg(long, value_parser = ["allow", "deny"])]
    decision: Option<String>,
    /// With this code, such as role_missing
    #[arg(long)]
    reason: Option<String>,
    /// Of this user, by id or name
    #[arg(long)]
    user: Option<String>,
    /// With this status, such as 403 or 4xx
    #[arg(long)]
    status: Option<String>,
    /// End after so many
    #[arg(short = 'n', long, value_name = "COUNT")]
    lines: Option<usize>,
    /// The access token of an account with the role admin
    #[arg(long, env = "PORTCULLIS_TOKEN", hide_env_values = true)]
    token: String,
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    admin: AdminArg,
    #[command(flatten)]
    output: OutputArg,
}

pub fn run(args: &Tail) -> Result<(), String> {
    let address = args.admin.address(&args.config.config);
    let wrong = |error: std::io::Error| format!("asking {address}: {error}");
    let mut answer = open(args, address).map_err(wrong)?;
    let status = read_head(&mut answer).map_err(wrong)?;
    if status != 200 {
        let mut body = String::new();
        std::io::Read::read_to_string(&mut answer, &mut body).map_err(wrong)?;
        let problem: Value = serde_json::from_str(&body).unwrap_or_default();
        let code = problem["code"].as_str().unwrap_or("no code");
        return Err(format!(
            "refused with {status} {code}: {}",
            problem["detail"].as_str().unwrap_or_default()
        ));
    }
    let mut seen = 0;
    for line in answer.lines() {
        let line = line.map_err(wrong)?;
        if line.is_empty() {
            continue;
        }
        print(&if args.output.is_json() { line } else { for_people(&line) })?;
        seen += 1;
        if args.lines == Some(seen) {
            return Ok(());
        }
    }
    Err("the gateway ended it: it is ending, or the token has expired or was revoked".to_owned())
}

/// HTTP/1.0, so that the answer comes without chunks.
fn open(args: &Tail, address: SocketAddr) -> std::io::Result<BufReader<TcpStream>> {
    let filters = [
        ("route", &args.route),
        ("decision", &args.decision),
        ("reason", &args.reason),
        ("user", &args.user),
        ("status", &args.status),
    ];
    let filters: Vec<_> = filters.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))).collect();
    let query = serde_urlencoded::to_string(filters).unwrap_or_default();
    let token: String = args.token.chars().filter(char::is_ascii_graphic).collect();
    let mut stream = TcpStream::connect_timeout(&address, CONNECT)?;
    stream.set_read_timeout(Some(SILENCE))?;
    write!(
        stream,
        "GET /api/decisions?{query} HTTP/1.0\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n"
    )?;
    Ok(BufReader::new(stream))
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

fn for_people(line: &str) -> String {
    let Ok(entry) = serde_json::from_str::<Value>(line) else { return line.to_owned() };
    if let Some(dropped) = entry["dropped"].as_u64() {
        return format!("… {dropped} lines were lost: they came faster than they were read");
    }
    let text = |key: &str| entry[key].as_str().unwrap_or("-").to_owned();
    let observed =
        entry["would_deny"].as_str().map(|code| format!("  would deny: {code}")).unwrap_or_default();
    format!(
        "{}  {} {} {}  {} {}  route {}  user {}  from {}  {} µs{observed}",
        text("time"),
        entry["status"],
        text("method"),
        text("path"),
        text("decision"),
        text("reason"),
        text("route"),
        text("user_id"),
        text("address"),
        entry["duration_us"],
    )
}
