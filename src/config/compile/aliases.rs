//! `auth.aliases:`

use std::sync::Arc;

use http::Method;

use super::{Compiler, pattern};
use crate::config::place::Place;
use crate::config::policy::{Alias, AnswerShape, AuthEndpoint, MethodSet};
use crate::config::raw;

impl Compiler<'_> {
    pub fn aliases(&mut self, raw: raw::Table<raw::Alias>, prefix: &str, at: &Place<'_>) -> Vec<Alias> {
        let mut aliases = Vec::new();
        for (path, alias) in self.entries(raw, at) {
            let place = at.key(&path);
            self.alias_path(&path, prefix, &place);
            match alias {
                None => {}
                Some(raw::Alias::One(target)) => aliases.extend(self.alias(&path, target, &place)),
                Some(raw::Alias::Several(targets)) => {
                    if targets.is_empty() {
                        self.problems.error(&place, "an empty list answers nothing; name an endpoint");
                    }
                    for (index, target) in self.items(targets, &place) {
                        aliases.extend(self.alias(&path, target, &place.item(index)));
                    }
                }
            }
        }
        aliases
    }

    fn alias_path(&mut self, path: &str, prefix: &str, at: &Place<'_>) {
        let problem = match pattern::parameters(path) {
            Ok(parameters) if !parameters.is_empty() => "an alias is a path without parameters".to_owned(),
            Ok(_) if pattern::is_within(path, prefix) => format!("lies under {prefix} already"),
            Ok(_) => return,
            Err(message) => message,
        };
        self.problems.error_in_key(at.path(), problem);
    }

    fn alias(&mut self, path: &str, raw: raw::AliasTarget, at: &Place<'_>) -> Option<Alias> {
        let (endpoint, rule) = match raw {
            raw::AliasTarget::Word(name) => (self.alias_endpoint(&name, at)?, raw::AliasRule::default()),
            raw::AliasTarget::Rule(rule) => {
                let Some(name) = &rule.endpoint else {
                    self.problems.missing(at, "endpoint", "name what answers, such as `endpoint: login`");
                    return None;
                };
                (self.alias_endpoint(name, &at.key("endpoint"))?, rule)
            }
        };
        let methods = match rule.methods {
            None => endpoint.methods(),
            Some(raw) => self.alias_methods(raw, endpoint, &at.key("methods")),
        };
        let answer = rule.answer.map(|raw| Arc::new(self.answer_shape(raw, endpoint, &at.key("answer"))));
        let waives_reauthentication =
            self.waives_reauthentication(rule.reauthentication, endpoint, &at.key("reauthentication"));
        Some(Alias { path: path.to_owned(), endpoint, methods, answer, waives_reauthentication })
    }

    fn waives_reauthentication(
        &mut self,
        raw: Option<raw::Reauthentication>,
        endpoint: AuthEndpoint,
        at: &Place<'_>,
    ) -> bool {
        if raw != Some(raw::Reauthentication::Off) {
            return false;
        }
        match endpoint.is_sensitive() {
            true => self.problems.warning(
                at,
                "whoever has an access token can take the account over here: change its name, address, password or second factor, make keys, or delete it, as far as this endpoint does",
            ),
            false => {
                let name = endpoint.as_str();
                self.problems.error(at, format!("{name:?} asks for no password; remove this key"));
            }
        }
        true
    }

    fn alias_endpoint(&mut self, name: &str, at: &Place<'_>) -> Option<AuthEndpoint> {
        let endpoint = self.endpoint(name, at)?;
        if endpoint.path().contains('{') {
            let message = format!("{name:?} needs a path with parameters, which an alias can't have");
            self.problems.error(at, message);
            return None;
        }
        Some(endpoint)
    }

    /// Others than the endpoint's own, where these are but one: that stands in for them.
    fn alias_methods(
        &mut self,
        raw: raw::List<String>,
        endpoint: AuthEndpoint,
        at: &Place<'_>,
    ) -> Vec<Method> {
        let MethodSet::Only(methods) = self.methods(Some(raw), at) else { return Vec::new() };
        let own = endpoint.methods();
        if own.len() > 1
            && let Some(foreign) = methods.iter().find(|method| !own.contains(method))
        {
            let own: Vec<&str> = own.iter().map(Method::as_str).collect();
            let (name, own) = (endpoint.as_str(), own.join(", "));
            self.problems.error(at, format!("{name:?} doesn't answer {foreign}, only {own}"));
        }
        methods
    }

    fn answer_shape(
        &mut self,
        raw: raw::Table<String>,
        endpoint: AuthEndpoint,
        at: &Place<'_>,
    ) -> AnswerShape {
        let mut members = Vec::new();
        for (name, own) in self.entries(raw, at) {
            let Some(own) = own else { continue };
            if !AnswerShape::knows(endpoint, &own) {
                let suggestion = self.problems.suggestion(&own, endpoint.members().iter().copied());
                let message = format!("no answer of {:?} has {own:?}{suggestion}", endpoint.as_str());
                self.problems.error(&at.key(&name), message);
            }
            members.push((name, own));
        }
        if members.is_empty() && !self.problems.is_known_within(at) {
            self.problems.error(at, "an answer without members; name one, or remove the key");
        }
        AnswerShape(members)
    }
}
