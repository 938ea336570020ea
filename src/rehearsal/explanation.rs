//! What would become of a request and why, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    pub method: String,
    /// As matched; absent when the request isn't looked at that far.
    pub path: Option<String>,
    pub host: String,
    pub address: String,
    pub decision: Decision,
    /// A code that would have refused the request, had its rule not been told to observe only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would_deny: Option<String>,
    pub caller: Option<CallerSeen>,
    /// Why the token of another issuer is refused, or brings no role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_token: Option<RefusedTokenSeen>,
    pub route: Option<RouteSeen>,
    pub limits: Vec<LimitSeen>,
    pub cache: Option<CacheSeen>,
    pub upstream: Option<UpstreamSeen>,
    /// The endpoint of the gateway itself that answers.
    pub endpoint: Option<String>,
    pub headers: Option<HeadersSeen>,
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    pub allowed: bool,
    /// `ok`, or the code of the refusal.
    pub code: String,
    /// Of the refusal.
    pub status: Option<u16>,
    pub detail: Option<String>,
    pub allow: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallerSeen {
    pub user_id: String,
    pub username: String,
    pub roles: Vec<String>,
    pub scopes: Vec<String>,
    #[serde(default)]
    pub mfa: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedTokenSeen {
    /// Its name in gateway.yaml; `-` if none has this `iss`.
    pub issuer: String,
    pub cause: String,
    pub detail: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteSeen {
    pub name: String,
    pub host: Option<String>,
    pub path: String,
    pub methods: Option<Vec<String>>,
    pub parameters: BTreeMap<String, String>,
    pub access: String,
    pub why: String,
    /// Other routes whose path matches, and which are less specific.
    pub passed_over: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitSeen {
    pub name: String,
    /// The counter that goes up, as the store names it.
    pub counter: String,
    pub rate: String,
    pub burst: u32,
    pub on_store_error: String,
    /// Counts and logs, refuses nobody.
    pub observe: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheSeen {
    pub may_answer: bool,
    pub why: String,
    pub vary_by: String,
    pub ttl_seconds: u64,
    /// SHA-256 of the key: equal for two requests that share an answer.
    pub key: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamSeen {
    pub name: String,
    pub servers: Vec<String>,
    pub choice: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadersSeen {
    /// What came and isn't passed on.
    pub removed: Vec<String>,
    /// What the upstream is told beside what came.
    pub added: BTreeMap<String, String>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.as_deref().unwrap_or("(not read)");
        row(f, "request", &format!("{} {path}  host {}  from {}", self.method, self.host, self.address))?;
        row(f, "decision", &self.decision.to_string())?;
        if let Some(code) = &self.would_deny {
            row(f, "observed", &format!("{code}: refused once the rule enforces"))?;
        }
        let caller = self.caller.as_ref().map_or("nobody".to_owned(), CallerSeen::to_string);
        row(f, "caller", &caller)?;
        if let Some(token) = &self.refused_token {
            row(f, "cause", &format!("{} (issuer {}): {}", token.cause, token.issuer, token.detail))?;
        }
        if let Some(route) = &self.route {
            row(f, "route", &format!("{}  ({})", route.name, route.why))?;
            row(f, "access", &route.access)?;
            for (name, value) in &route.parameters {
                row(f, "parameter", &format!("{name} = {value}"))?;
            }
            for name in &route.passed_over {
                row(f, "passed over", &format!("{name}  (less specific)"))?;
            }
        }
        for limit in &self.limits {
            row(f, "limit", &limit.to_string())?;
        }
        if let Some(cache) = &self.cache {
            row(f, "cache", &cache.to_string())?;
        }
        if let Some(upstream) = &self.upstream {
            let servers = upstream.servers.join(", ");
            row(f, "upstream", &format!("{}  {servers}  ({})", upstream.name, upstream.choice))?;
        }
        if let Some(endpoint) = &self.endpoint {
            row(f, "answered by", &format!("the gateway: {endpoint}"))?;
        }
        if let Some(headers) = &self.headers {
            for name in &headers.removed {
                row(f, "removed", name)?;
            }
            for (name, value) in &headers.added {
                row(f, "added", &format!("{name}: {value}"))?;
            }
        }
        self.notes.iter().try_for_each(|note| row(f, "note", note))
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, value: &str) -> fmt::Result {
    writeln!(f, "{name:<12} {value}")
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.allowed, self.status) {
            (true, _) => f.write_str("allowed")?,
            (false, Some(status)) => write!(f, "refused: {} ({status})", self.code)?,
            (false, None) => write!(f, "refused: {}", self.code)?,
        }
        if let Some(detail) = &self.detail {
            write!(f, "; {detail}")?;
        }
        if let Some(allow) = &self.allow {
            write!(f, "; allowed are {allow}")?;
        }
        Ok(())
    }
}

impl fmt::Display for CallerSeen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.username, self.user_id)?;
        if !self.roles.is_empty() {
            write!(f, "  roles {}", self.roles.join(", "))?;
        }
        if !self.scopes.is_empty() {
            write!(f, "  scopes {}", self.scopes.join(" "))?;
        }
        if self.mfa {
            f.write_str("  with a second factor")?;
        }
        Ok(())
    }
}

impl fmt::Display for LimitSeen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = if self.observe { "  (observes only)" } else { "" };
        write!(
            f,
            "{}: {}, at most {} at once, counted as {}{mode}",
            self.name, self.rate, self.burst, self.counter
        )
    }
}

impl fmt::Display for CacheSeen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let may = if self.may_answer { "may answer" } else { "not used" };
        write!(f, "{may}: {}; one answer per {}, fresh for {} s", self.why, self.vary_by, self.ttl_seconds)?;
        self.key.as_ref().map_or(Ok(()), |key| write!(f, ", key {key}"))
    }
}
