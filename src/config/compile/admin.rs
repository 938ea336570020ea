//! `admin:` and `metrics:`

use super::Compiler;
use crate::config::place::Place;
use crate::config::policy::Admin;
use crate::config::raw;
use crate::identity::secret::{Secret, is_well_known};

/// A random token of that length can't be guessed.
const MIN_TOKEN: usize = 16;

impl Compiler<'_> {
    pub fn admin(&mut self, raw: raw::Admin, metrics: raw::Metrics, root: &Place<'_>) -> Admin {
        Admin {
            hosts: self.admin_hosts(raw.hosts.unwrap_or_default(), &root.key("admin").key("hosts")),
            metrics_token: self.metrics_token(metrics.token, &root.key("metrics").key("token")),
        }
    }

    fn admin_hosts(&mut self, raw: raw::List<String>, at: &Place<'_>) -> Vec<String> {
        let mut hosts = Vec::new();
        for (index, host) in self.items(raw, at) {
            match super::pattern::host(&host) {
                Ok(host) => hosts.push(host),
                Err(message) => self.problems.error(&at.item(index), message),
            }
        }
        hosts
    }

    fn metrics_token(&mut self, raw: Option<String>, at: &Place<'_>) -> Option<Secret> {
        let token = raw?;
        let advice = "use a random one (openssl rand -hex 32)";
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.problems.error(at, format!("a token has no blanks and only ASCII characters; {advice}"));
        } else if token.len() < MIN_TOKEN {
            let length = token.len();
            self.problems
                .error(at, format!("the token has {length} bytes, {MIN_TOKEN} are needed; {advice}"));
        } else if is_well_known(token.as_bytes()) {
            self.problems.error(at, format!("this token is public or easily guessed; {advice}"));
        }
        Some(Secret::new(token))
    }
}
