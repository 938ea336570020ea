//! `issuers:`, and which of them a route accepts.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Compiler;
use super::names::Names;
use crate::config::place::Place;
use crate::config::policy::{
    AcceptedIssuers, Audience, ClaimNames, ForeignAlgorithm, ForeignRoles, Issuer, KeySource, TENANT, Tenants,
};
use crate::config::raw::{self, Words};
use crate::identity::foreign::KeySet;
use crate::identity::name;

/// What a route calls this gateway's own tokens.
const OWN: &str = "portcullis";
const DEFAULT_REFRESH: Duration = Duration::from_secs(3600);
const DEFAULT_COOLDOWN: Duration = Duration::from_secs(5);
const MIN_COOLDOWN: Duration = Duration::from_secs(1);

impl Compiler<'_> {
    /// `own` is `tokens.issuer`, `leeway` `tokens.leeway`.
    pub fn issuers(
        &mut self,
        raw: raw::Table<raw::Issuer>,
        own: &str,
        leeway: Duration,
        at: &Place<'_>,
    ) -> Names<Issuer> {
        let mut names = Names::new("issuer");
        let mut known = BTreeMap::from([(own.to_owned(), "tokens.issuer".to_owned())]);
        for (name, raw) in self.entries(raw, at) {
            let place = at.key(&name);
            if name == OWN {
                self.problems.error_in_key(place.path(), "this name stands for the gateway's own tokens");
            }
            let index = names.next_index();
            let issuer = raw.and_then(|raw| self.issuer(&name, index, raw, leeway, &place));
            for spelling in issuer.iter().flat_map(|issuer| &issuer.spellings) {
                if let Some(other) = known.insert(spelling.clone(), format!("issuers.{name}")) {
                    let message =
                        format!("{other} is the same issuer; a token must lead to one of them only");
                    self.problems.error(&place.key("issuer"), message);
                }
            }
            if let Some(issuer) = &issuer {
                self.check_tenants(issuer, &known, &place);
            }
            names.define(name, issuer);
        }
        names
    }

    fn issuer(
        &mut self,
        name: &str,
        index: usize,
        raw: raw::Issuer,
        leeway: Duration,
        at: &Place<'_>,
    ) -> Option<Issuer> {
        self.plain_text(at, name.to_owned())?;
        let spellings = match raw.issuer {
            Some(issuer) => self.words(issuer, &at.key("issuer")),
            None => {
                self.problems.missing(at, "issuer", "write what its tokens say in `iss`");
                Vec::new()
            }
        };
        let tenants = self.tenants(raw.tenants, &spellings, at);
        let audience = self.audience(raw.audience, raw.audience_claim, at);
        let algorithms = self.algorithms(raw.algorithms, &at.key("algorithms"));
        let claims = self.claim_names(raw.claims.unwrap_or_default(), &at.key("claims"));
        let roles = self.foreign_roles(raw.roles, &claims, at);
        let username_prefix =
            raw.username_prefix.and_then(|prefix| self.username_prefix(prefix, &at.key("username_prefix")));
        let refresh = self.positive_duration(at, "refresh", raw.refresh, DEFAULT_REFRESH);
        let cooldown = self.positive_duration(at, "cooldown", raw.cooldown, DEFAULT_COOLDOWN);
        if cooldown < MIN_COOLDOWN {
            self.problems.error(&at.key("cooldown"), "less than 1s would let clients flood the issuer");
        }
        if refresh < cooldown {
            self.problems.error(&at.key("refresh"), "must not be shorter than `cooldown` (default 5s)");
        }
        let issuer = spellings.first()?.clone();
        let key_source = self.key_source(raw.jwks, &issuer, &algorithms, at)?;
        self.check_ca(raw.ca.as_deref(), &at.key("ca"));
        Some(Issuer {
            name: name.to_owned(),
            index,
            issuer,
            spellings,
            tenants,
            audience,
            key_source,
            algorithms,
            claims,
            roles,
            username_prefix,
            allow_id_tokens: raw.allow_id_tokens.unwrap_or(false),
            email_trusted: raw.email_trusted.unwrap_or(false),
            leeway,
            refresh,
            cooldown,
            ca: raw.ca,
        })
    }

    /// Without an audience, a token that the issuer made for anybody else would be good here; so the file must say
    /// that there is none.
    fn audience(&mut self, raw: Option<Words>, claim: Option<Words>, at: &Place<'_>) -> Audience {
        let claim_place = at.key("audience_claim");
        let claim = claim.map(|claim| self.words(claim, &claim_place));
        let Some(raw) = raw else {
            let remedy = "write what its tokens for you say in `aud`, or `none` if they have no audience";
            self.problems.missing(at, "audience", remedy);
            return Audience::Absent;
        };
        let place = at.key("audience");
        if !matches!(raw.0.as_slice(), [Some(word)] if word == "none") {
            let claim = claim.unwrap_or_else(|| vec!["aud".to_owned()]);
            return Audience::OneOf { claim, values: self.words(raw, &place) };
        }
        match claim {
            Some(_) => self.problems.error(&claim_place, "`audience: none` looks at no claim; name the audience"),
            None => self.problems.warning(
                &place,
                "tokens that this issuer made for any of its clients are good here; if they name the client, write `audience_claim: client_id` and the client as the audience",
            ),
        }
        Audience::Absent
    }

    /// Everybody may have a tenant, so the file says whose count.
    fn tenants(&mut self, raw: Option<Words>, spellings: &[String], at: &Place<'_>) -> Option<Tenants> {
        let stand_for_many = spellings.iter().any(|spelling| spelling.contains(TENANT));
        let Some(raw) = raw else {
            if stand_for_many {
                let remedy = format!("list the ids that may stand for {TENANT}, or write `any`");
                self.problems.missing(at, "tenants", &remedy);
            }
            return None;
        };
        let place = at.key("tenants");
        if !stand_for_many {
            let message = format!("only for an issuer with {TENANT} in it, which this one hasn't");
            self.problems.error(&place, message);
        }
        Some(match raw.0.as_slice() {
            [Some(word)] if word == "any" => Tenants::Any,
            _ => Tenants::Only(self.words(raw, &place)),
        })
    }

    /// A token must lead to one issuer only.
    fn check_tenants(&mut self, issuer: &Issuer, known: &BTreeMap<String, String>, at: &Place<'_>) {
        let own = format!("issuers.{}", issuer.name);
        let other = known.iter().find(|(iss, name)| **name != own && issuer.tenant_of(iss).is_some());
        if let Some((_, other)) = other {
            let message = format!("{other} is one of its tenants; a token must lead to one of them only");
            self.problems.error(&at.key("issuer"), message);
        }
    }

    fn words(&mut self, raw: Words, at: &Place<'_>) -> Vec<String> {
        if raw.0.is_empty() {
            self.problems.error(at, "an empty list says nothing; fill it or remove the key");
        }
        let items = self.items(raw.0, at);
        items.into_iter().filter_map(|(index, word)| self.plain_text(&at.item(index), word)).collect()
    }

    fn key_source(
        &mut self,
        jwks: Option<String>,
        issuer: &str,
        algorithms: &[ForeignAlgorithm],
        at: &Place<'_>,
    ) -> Option<KeySource> {
        let Some(jwks) = jwks else {
            // The document of all tenants.
            let issuer = &issuer.replace(TENANT, "common");
            if !is_safe_url(issuer) {
                let message = "isn't an https URL, so its keys can't be discovered; add `jwks`";
                self.problems.error(&at.key("issuer"), message);
                return None;
            }
            let base = issuer.trim_end_matches('/');
            return Some(KeySource::Discovery(format!("{base}/.well-known/openid-configuration")));
        };
        if jwks.trim_start().starts_with('{') {
            // Without any, that has been said.
            if !algorithms.is_empty()
                && let Err(message) = KeySet::read(jwks.as_bytes(), algorithms)
            {
                self.problems.error(&at.key("jwks"), message);
                return None;
            }
            return Some(KeySource::Text(jwks));
        }
        if !is_safe_url(&jwks) {
            let message =
                "write an https URL, or `{ file: keys.json }` with a JWK set; http is for localhost only";
            self.problems.error(&at.key("jwks"), message);
            return None;
        }
        Some(KeySource::Url(jwks))
    }

    pub fn check_ca(&mut self, ca: Option<&str>, at: &Place<'_>) {
        if ca.is_some_and(|pem| !pem.contains("-----BEGIN CERTIFICATE-----")) {
            self.problems.error(at, "expected certificates in PEM: `{ file: ca.pem }`");
        }
    }

    fn algorithms(&mut self, raw: Option<raw::List<String>>, at: &Place<'_>) -> Vec<ForeignAlgorithm> {
        let Some(raw) = raw else { return ForeignAlgorithm::ALL.to_vec() };
        if raw.is_empty() {
            self.problems.error(at, "an empty list lets no token in; remove the key to allow all");
        }
        let mut algorithms = Vec::new();
        for (index, name) in self.items(raw, at) {
            match ForeignAlgorithm::ALL.into_iter().find(|algorithm| algorithm.as_str() == name) {
                Some(algorithm) => algorithms.push(algorithm),
                None if name.starts_with("HS") || name == "none" => self.problems.error(
                    &at.item(index),
                    format!("{name} needs no private key to sign with; other issuers use asymmetric ones"),
                ),
                None => {
                    let names = ForeignAlgorithm::ALL.into_iter().map(ForeignAlgorithm::as_str);
                    let suggestion = self.problems.suggestion(&name, names);
                    self.problems.error(&at.item(index), format!("{name:?} isn't known here{suggestion}"));
                }
            }
        }
        algorithms
    }

    fn claim_names(&mut self, raw: raw::ClaimNames, at: &Place<'_>) -> ClaimNames {
        let mut way = |key: &str, raw: Option<Words>| raw.map(|raw| self.words(raw, &at.key(key)));
        let or = |way: Option<Vec<String>>, name: &str| way.unwrap_or_else(|| vec![name.to_owned()]);
        ClaimNames {
            user: or(way("user", raw.user), "sub"),
            username: or(way("username", raw.username), "preferred_username"),
            email: or(way("email", raw.email), "email"),
            email_verified: or(way("email_verified", raw.email_verified), "email_verified"),
            roles: way("roles", raw.roles),
            scopes: or(way("scopes", raw.scopes), "scope"),
        }
    }

    /// Nobody there becomes somebody here by what the other side calls a group: the file says which roles count.
    fn foreign_roles(
        &mut self,
        raw: Option<raw::IssuerRoles>,
        claims: &ClaimNames,
        at: &Place<'_>,
    ) -> Option<ForeignRoles> {
        let place = at.key("roles");
        match (&raw, &claims.roles) {
            (Some(_), None) if !self.problems.is_known_within(at) => {
                let message = "says what its roles are called here; `claims.roles` must say where they are";
                self.problems.error(&place, message);
            }
            (None, Some(_)) if !self.problems.is_known_within(at) => {
                let message = "none of its roles count: map them in `roles`, or write `roles: same` if its names are yours";
                self.problems.warning(&at.key("claims").key("roles"), message);
            }
            _ => {}
        }
        Some(match raw? {
            raw::IssuerRoles::Same => ForeignRoles::Same,
            raw::IssuerRoles::Mapped(names) => ForeignRoles::Mapped(self.role_names(names, &place)),
        })
    }

    /// `None` if it can't be one, which has been said. An empty one says that none is needed.
    fn username_prefix(&mut self, prefix: String, at: &Place<'_>) -> Option<String> {
        let is_plain = prefix.is_empty() || name::fits_header(&prefix) && !prefix.contains('%');
        let problem = match is_plain {
            false => "a prefix has visible ASCII characters without commas and percent signs",
            true if prefix.is_empty() || !prefix.bytes().all(name::may_be_ours) => return Some(prefix),
            true => {
                "accounts here may have names that begin so; add a sign that theirs can't have, such as a colon or a slash"
            }
        };
        self.problems.error(at, problem);
        None
    }

    /// Its names for roles, and ours.
    fn role_names(&mut self, raw: raw::Table<String>, at: &Place<'_>) -> BTreeMap<String, String> {
        let mut names = BTreeMap::new();
        for (theirs, ours) in self.entries(raw, at) {
            if let Some(ours) = ours.and_then(|ours| self.role(&at.key(&theirs), ours)) {
                names.insert(theirs, ours);
            }
        }
        names
    }

    /// Which tokens a route takes; `None` if it says nothing.
    pub fn accepted_issuers(
        &mut self,
        raw: Option<raw::List<String>>,
        issuers: &mut Names<Issuer>,
        at: &Place<'_>,
    ) -> Option<AcceptedIssuers> {
        let raw = raw?;
        if raw.is_empty() {
            self.problems
                .error(at, "an empty list lets nobody in; remove the key for the gateway's own tokens");
        }
        let mut accepted = AcceptedIssuers { own: false, foreign: Vec::new() };
        for (index, name) in self.items(raw, at) {
            let place = at.item(index);
            if name == OWN {
                accepted.own = true;
            } else if let Some(issuer) = issuers.resolve(&name, &place, &mut self.problems) {
                accepted.foreign.push(issuer.index);
            }
        }
        Some(accepted)
    }
}

/// What comes over plain http could come from anybody; on the own machine it can't.
fn is_safe_url(text: &str) -> bool {
    let Ok(url) = text.parse::<http::Uri>() else { return false };
    match (url.scheme_str(), url.host()) {
        (Some("https"), Some(_)) => true,
        (Some("http"), Some(host)) => matches!(host, "localhost" | "127.0.0.1" | "[::1]"),
        _ => false,
    }
}
