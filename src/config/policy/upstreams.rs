//! The backends.

use std::fmt;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    pub name: String,
    /// Position in `Policy::upstreams`.
    pub index: usize,
    /// At least one.
    pub servers: Vec<Server>,
    pub timeouts: Timeouts,
    pub identity: IdentityPreset,
    /// Hands the bearer token on; off unless the file says so.
    pub keep_authorization: bool,
    /// Sends a signed assertion of who is calling.
    pub assertion: bool,
    /// Fields that clients mustn't send to it, beside those that are known anyway.
    pub reserved: Vec<ReservedField>,
}

/// In lower case, with `-` for `_` and `.`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReservedField {
    Name(String),
    /// Every name that begins like this.
    Family(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Host name or address, without brackets.
    pub host: String,
    pub port: u16,
    pub tls: bool,
    /// At least 1.
    pub weight: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    pub connect: Duration,
    pub read: Duration,
    pub write: Duration,
    pub idle: Duration,
}

/// Which headers tell the upstream who is calling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityPreset {
    /// `X-Forwarded-User`, `-Preferred-Username`, `-Email`, `-Groups` (oauth2-proxy's words).
    Forwarded,
    /// `Remote-User`, `Remote-Email`, `Remote-Groups` (Authelia's words).
    Remote,
    /// `X-WEBAUTH-USER`, `-EMAIL`, `-ROLE` (Grafana's words).
    Webauth,
    /// `X-Consumer-ID`, `X-Consumer-Username`, `X-Consumer-Groups` (Kong's words).
    Consumer,
}

impl fmt::Display for ReservedField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Family(prefix) => write!(f, "{prefix}*"),
        }
    }
}

impl IdentityPreset {
    /// Whether programs that read these headers go by the username, which its owner chooses, rather than by the id.
    pub fn tells_name_only(self) -> bool {
        match self {
            Self::Forwarded => false,
            Self::Remote | Self::Webauth | Self::Consumer => true,
        }
    }
}
