//! `admin:` and `metrics:`

use super::Compiler;
use crate::config::place::Place;
use crate::config::policy::{Access, Admin};
use crate::config::raw;
use crate::identity::name::DEFAULT_ROLE;
use crate::identity::secret::{Secret, is_well_known};

/// A random token of that length can't be guessed.
const MIN_TOKEN: usize = 16;

impl Compiler<'_> {
    pub fn admin(&mut self, raw: raw::Admin, metrics: raw::Metrics, root: &Place<'_>) -> Admin {
        Admin {
            roles: self.admin_roles(raw.roles, &root.key("admin").key("roles")),
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

    fn admin_roles(&mut self, raw: Option<raw::List<String>>, at: &Place<'_>) -> Vec<String> {
        let Some(raw) = raw else { return Admin::default().roles };
        if raw.is_empty() {
            self.problems.error(at, "without such a role there are no operators; name one or remove the key");
        }
        let mut roles = Vec::new();
        for (index, role) in self.items(raw, at) {
            let item = at.item(index);
            if role == DEFAULT_ROLE {
                let message = "everybody who registers has this role and would be an operator of the gateway";
                self.problems.error(&item, message);
            }
            roles.extend(self.role_name(&item, role));
        }
        roles
    }

    /// Whoever grants an application's roles would make operators of the gateway.
    pub fn warn_of_operator_role(&mut self, access: &Access, operators: &[String], at: &Place<'_>) {
        let Access::Authenticated(requirement) = access else { return };
        let owner = requirement.owner.iter().flat_map(|owner| &owner.or_roles);
        let mut named = requirement.roles.iter().chain(&requirement.all_roles).chain(owner);
        if let Some(role) = named.find(|role| operators.contains(role)) {
            let message = format!(
                "{role:?} is a role of `admin.roles`: whoever has it for this route is an operator of the gateway too; give the application a role of its own"
            );
            self.problems.warning(at, message);
        }
    }
}
