//! `tests:`; only their form is checked here.

use http::Method;

use super::{Compiler, pattern};
use crate::config::place::Place;
use crate::config::raw;
use crate::rejection::Code;

const ALLOWED: &str = "allowed";

impl Compiler<'_> {
    pub fn tests(&mut self, raw: raw::List<raw::Test>, at: &Place<'_>) {
        for (index, test) in self.items(raw, at) {
            let place = at.item(index);
            match test.request {
                Some(request) => self.test_request(&request, &place.key("request")),
                None => self.problems.missing(&place, "request", "write it like `request: GET /protected`"),
            }
            match test.expect {
                Some(expected) => self.test_expectation(&expected, &place.key("expect")),
                None => {
                    self.problems.missing(&place, "expect", "write `allowed`, or a code such as role_missing")
                }
            }
            if let Some(Err(message)) = test.host.as_deref().map(pattern::host) {
                self.problems.error(&place.key("host"), message);
            }
            if let Some(role) = test.role {
                self.role(&place.key("role"), role);
            }
            self.roles(&place.key("roles"), test.roles);
        }
    }

    fn test_request(&mut self, request: &str, at: &Place<'_>) {
        let parts = request.split_once(' ');
        let is_request = parts.is_some_and(|(method, path)| {
            Method::from_bytes(method.as_bytes()).is_ok() && path.starts_with('/') && !path.contains(' ')
        });
        if !is_request {
            self.problems.error(at, format!("{request:?} isn't a method and a path; write GET /protected"));
        }
    }

    fn test_expectation(&mut self, expected: &str, at: &Place<'_>) {
        let known = || std::iter::once(ALLOWED).chain(Code::ALL.iter().map(|code| code.as_str()));
        if !known().any(|word| word == expected) {
            let suggestion = self.problems.suggestion(expected, known());
            self.problems.error(at, format!("{expected:?} is neither `allowed` nor a code{suggestion}"));
        }
    }
}
