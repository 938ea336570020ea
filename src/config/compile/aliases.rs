//! `auth.aliases:`

use std::sync::Arc;

use http::Method;

use super::{Compiler, pattern};
use crate::config::place::Place;
use crate::config::policy::{
    Alias, AnswerMember, AnswerShape, AuthEndpoint, MethodSet, RequestShape, Translation,
};
use crate::config::raw;

/// Marks a fixed text in an answer.
const TEXT: &str = "text";

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
        let request = rule.request.map(|raw| self.request_shape(raw, endpoint, &at.key("request")));
        let answer = rule.answer.map(|raw| self.answer_shape(raw, endpoint, &at.key("answer")));
        let translation = Translation { request, answer };
        let is_needed = translation != Translation::default();
        let translation = is_needed.then(|| Arc::new(translation));
        let waives_reauthentication =
            self.waives_reauthentication(rule.reauthentication, endpoint, &at.key("reauthentication"));
        Some(Alias { path: path.to_owned(), endpoint, methods, translation, waives_reauthentication })
    }

    fn waives_reauthentication(
        &mut self,
        raw: Option<raw::Reauthentication>,
        endpoint: AuthEndpoint,
        at: &Place<'_>,
    ) -> bool {
        if raw != Some(raw::Reauthentication::Waived) {
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

    fn request_shape(
        &mut self,
        raw: raw::Table<String>,
        endpoint: AuthEndpoint,
        at: &Place<'_>,
    ) -> RequestShape {
        let mut members: Vec<(String, String)> = Vec::new();
        let known = endpoint.request_members();
        for (name, own) in self.entries(raw, at) {
            let Some(own) = own else { continue };
            if !known.contains(&own.as_str()) {
                let suggestion = self.problems.suggestion(&own, known.iter().copied());
                let message = format!("no request to {:?} has {own:?}{suggestion}", endpoint.as_str());
                self.problems.error(&at.key(&name), message);
            } else if let Some((other, _)) = members.iter().find(|(_, taken)| *taken == own) {
                let message = format!("{other:?} is {own:?} already; a member has one name");
                self.problems.error(&at.key(&name), message);
            }
            members.push((name, own));
        }
        if members.is_empty() && !self.problems.is_known_within(at) {
            self.problems.error(at, "a request without members; name one, or remove the key");
        }
        RequestShape(members)
    }

    fn answer_shape(
        &mut self,
        raw: raw::Table<impl Into<raw::AnswerMember>>,
        endpoint: AuthEndpoint,
        at: &Place<'_>,
    ) -> AnswerShape {
        let mut members = Vec::new();
        for (name, member) in self.entries(raw, at) {
            let Some(member) = member else { continue };
            let member = self.answer_member(member.into(), endpoint, &at.key(&name));
            members.push((name, member));
        }
        if members.is_empty() && !self.problems.is_known_within(at) {
            self.problems.error(at, "an answer without members; name one, or remove the key");
        }
        AnswerShape(members)
    }

    /// A mapping with the only key `text` is a sentence; any other one is an object of members.
    fn answer_member(
        &mut self,
        raw: raw::AnswerMember,
        endpoint: AuthEndpoint,
        at: &Place<'_>,
    ) -> AnswerMember {
        let mut table = match raw {
            raw::AnswerMember::Own(own) => {
                if !AnswerShape::knows(endpoint, &own) {
                    let message = self.unknown_member(&own, endpoint);
                    self.problems.error(at, message);
                }
                return AnswerMember::Own(own);
            }
            raw::AnswerMember::Members(table) => table,
        };
        if table.len() == 1 && matches!(table.get(TEXT), Some(Some(raw::AnswerMember::Own(_)))) {
            let Some(Some(raw::AnswerMember::Own(text))) = table.remove(TEXT) else {
                return AnswerMember::Text(String::new());
            };
            if AnswerShape::knows(endpoint, &text) {
                let message = format!("this is the fixed text {text:?}; for the member, write {text} alone");
                self.problems.error(&at.key(TEXT), message);
            }
            return AnswerMember::Text(text);
        }
        AnswerMember::Members(self.answer_shape(table, endpoint, at))
    }

    fn unknown_member(&mut self, own: &str, endpoint: AuthEndpoint) -> String {
        let endpoint_name = endpoint.as_str();
        if own.contains(' ') {
            return format!("no answer of {endpoint_name:?} has {own:?}; a fixed text is `{{ text: … }}`");
        }
        let suggestion = self.problems.suggestion(own, endpoint.members().iter().copied());
        format!("no answer of {endpoint_name:?} has {own:?}{suggestion}")
    }
}
