//! `tests:`. Whether they hold is asked by `rehearsal`, once all else is right.

use std::collections::BTreeMap;

use http::Method;

use super::names::Names;
use super::{Compiler, pattern};
use crate::config::place::Place;
use crate::config::policy::{Test, Upstream};
use crate::config::raw;
use crate::identity::name::check_username;
use crate::rejection::Code;

const ALLOWED: &str = "allowed";

impl Compiler<'_> {
    pub fn tests(
        &mut self,
        raw: raw::List<raw::Test>,
        upstreams: &mut Names<Upstream>,
        at: &Place<'_>,
    ) -> Vec<Test> {
        let items = self.items(raw, at);
        items.into_iter().filter_map(|(index, test)| self.test(test, upstreams, &at.item(index))).collect()
    }

    fn test(&mut self, raw: raw::Test, upstreams: &mut Names<Upstream>, at: &Place<'_>) -> Option<Test> {
        let request = match raw.request {
            Some(request) => self.test_request(&request, &at.key("request")),
            None => {
                self.problems.missing(at, "request", "write it like `request: GET /protected`");
                None
            }
        };
        let refusal = match raw.expect {
            Some(expected) => self.test_expectation(&expected, &at.key("expect")),
            None => {
                self.problems.missing(at, "expect", "write `allowed`, or a code such as role_missing");
                None
            }
        };
        let host = raw.host.and_then(|host| match pattern::host(&host) {
            Ok(host) => Some(host),
            Err(message) => {
                self.problems.error(&at.key("host"), message);
                None
            }
        });
        let user = raw.user.map(|user| self.test_user(user, &at.key("user")));
        let mut roles: Vec<String> =
            raw.role.and_then(|role| self.role(&at.key("role"), role)).into_iter().collect();
        roles.extend(self.roles(&at.key("roles"), raw.roles));
        let scopes = self.scopes(raw.scopes, &at.key("scopes"));
        let upstream = raw.upstream.inspect(|name| {
            upstreams.expect(name, &at.key("upstream"), &mut self.problems);
        });
        let headers = self.test_headers(raw.headers.unwrap_or_default(), &at.key("headers"));
        let refusal = refusal?;
        if refusal.is_some() && (upstream.is_some() || !headers.is_empty()) {
            let message = "a refused request reaches no upstream; take `upstream` and `headers` away";
            self.problems.error(&at.key("expect"), message);
        }
        let mfa = raw.mfa.unwrap_or(false);
        let (method, target) = request?;
        Some(Test {
            place: at.path(),
            method,
            target,
            host,
            user,
            roles,
            scopes,
            mfa,
            refusal,
            upstream,
            headers,
        })
    }

    fn test_request(&mut self, request: &str, at: &Place<'_>) -> Option<(String, String)> {
        let parts = request.split_once(' ').filter(|(method, path)| {
            Method::from_bytes(method.as_bytes()).is_ok() && path.starts_with('/') && !path.contains(' ')
        });
        if parts.is_none() {
            self.problems.error(at, format!("{request:?} isn't a method and a path; write GET /protected"));
        }
        parts.map(|(method, path)| (method.to_owned(), path.to_owned()))
    }

    /// `Some(None)`: allowed.
    fn test_expectation(&mut self, expected: &str, at: &Place<'_>) -> Option<Option<Code>> {
        if expected == ALLOWED {
            return Some(None);
        }
        let code = Code::ALL.into_iter().find(|code| code.as_str() == expected);
        if code.is_none() {
            let known = std::iter::once(ALLOWED).chain(Code::ALL.iter().map(|code| code.as_str()));
            let suggestion = self.problems.suggestion(expected, known);
            self.problems.error(at, format!("{expected:?} is neither `allowed` nor a code{suggestion}"));
        }
        code.map(Some)
    }

    fn test_user(&mut self, user: String, at: &Place<'_>) -> String {
        if uuid::Uuid::parse_str(&user).is_err()
            && let Err(reason) = check_username(&user)
        {
            self.problems.error(at, format!("{user:?} is neither a user id nor a name: {reason}"));
        }
        user
    }

    fn test_headers(&mut self, raw: raw::Table<String>, at: &Place<'_>) -> BTreeMap<String, String> {
        let mut headers = BTreeMap::new();
        for (name, value) in self.entries(raw, at) {
            let place = at.key(&name);
            if let (Some(name), Some(value)) = (self.header_name(&place, &name), value) {
                headers.insert(name, value);
            }
        }
        headers
    }
}
