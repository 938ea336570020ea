//! `access:` of a route.

use super::Compiler;
use crate::config::place::Place;
use crate::config::policy::{Access, Owner, Requirement};
use crate::config::raw::{self, AccessWord};

impl Compiler<'_> {
    /// `parameters` are those of the route's path; `None` if that is wrong.
    pub fn access(
        &mut self,
        raw: Option<raw::Access>,
        parameters: Option<&[&str]>,
        at: &Place<'_>,
    ) -> Access {
        match raw {
            None | Some(raw::Access::Word(AccessWord::Authenticated)) => {
                Access::Authenticated(Requirement::default())
            }
            Some(raw::Access::Word(AccessWord::Public)) => Access::Public,
            Some(raw::Access::Word(AccessWord::Optional)) => Access::Optional,
            Some(raw::Access::Rule(rule)) => Access::Authenticated(self.requirement(rule, parameters, at)),
        }
    }

    fn requirement(&mut self, raw: raw::Rule, parameters: Option<&[&str]>, at: &Place<'_>) -> Requirement {
        let is_empty = raw.roles.is_none()
            && raw.all_roles.is_none()
            && raw.scopes.is_none()
            && raw.owner.is_none()
            && raw.or_roles.is_none()
            && raw.mfa != Some(true);
        // `{ mode: observe }` alone tries out `authenticated`.
        if is_empty && raw.mode.is_none() && !self.problems.is_known_within(at) {
            self.problems.error(at, "this asks for nothing; write `authenticated`, or name roles");
        }
        Requirement {
            roles: self.roles(&at.key("roles"), raw.roles),
            all_roles: self.roles(&at.key("all_roles"), raw.all_roles),
            scopes: self.scopes(raw.scopes, &at.key("scopes")),
            owner: self.owner(raw.owner, raw.or_roles, parameters, at),
            mfa: raw.mfa.unwrap_or(false),
            mfa_roles: Vec::new(),
            observe: raw.mode == Some(raw::Mode::Observe),
        }
    }

    fn owner(
        &mut self,
        owner: Option<String>,
        or_roles: Option<raw::List<String>>,
        parameters: Option<&[&str]>,
        at: &Place<'_>,
    ) -> Option<Owner> {
        let Some(parameter) = owner else {
            if or_roles.is_some() && !self.problems.is_known(&at.key("owner")) {
                let message = "goes with `owner`; without it, write `roles`";
                self.problems.error(&at.key("or_roles"), message);
            }
            return None;
        };
        if let Some(parameters) = parameters
            && !parameters.contains(&parameter.as_str())
        {
            let suggestion = self.problems.suggestion(&parameter, parameters.iter().copied());
            let message = format!("the path has no parameter {{{parameter}}}{suggestion}");
            self.problems.error(&at.key("owner"), message);
        }
        let or_roles = self.roles(&at.key("or_roles"), or_roles);
        Some(Owner { parameter, or_roles })
    }

    /// RFC 6749 §3.3: printable ASCII without space, `"` and `\`.
    pub fn scopes(&mut self, raw: Option<raw::List<String>>, at: &Place<'_>) -> Vec<String> {
        let Some(raw) = raw else {
            return Vec::new();
        };
        if raw.is_empty() {
            self.problems.error(at, "an empty list asks for nothing; name a scope or remove the key");
        }
        let mut scopes = Vec::new();
        for (index, scope) in self.items(raw, at) {
            let is_token = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
            if scope.is_empty() || !scope.bytes().all(is_token) {
                self.problems.error(&at.item(index), format!("{scope:?} isn't a scope"));
            }
            scopes.push(scope);
        }
        scopes
    }
}
