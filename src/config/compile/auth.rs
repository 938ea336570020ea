//! `auth:`

use std::time::Duration;

use super::names::Names;
use super::{Compiler, pattern, quantity};
use crate::config::place::Place;
use crate::config::policy::{
    Alias, Argon2Params, Auth, AuthEndpoint, EmailRules, KeyRules, Limit, LockoutRule, MfaRules,
    PasswordRules,
};
use crate::config::raw;
use crate::identity::name;
use crate::identity::reserved::ReservedNames;

/// The auth wing's rules, and where it is reached beside its prefix.
pub struct CompiledAuth {
    pub policy: Auth,
    pub aliases: Vec<Alias>,
}

impl Compiler<'_> {
    pub fn auth(&mut self, raw: raw::Auth, limits: &mut Names<Limit>, at: &Place<'_>) -> CompiledAuth {
        let prefix = self.auth_prefix(raw.prefix, &at.key("prefix"));
        let aliases = self.aliases(raw.aliases.unwrap_or_default(), &prefix, &at.key("aliases"));
        if raw.docs != Some(true) {
            for alias in aliases.iter().filter(|alias| alias.endpoint == AuthEndpoint::Docs) {
                let message = "the page is off; write `docs: true` beside `aliases`";
                self.problems.error(&at.key("aliases").key(&alias.path), message);
            }
        }
        let limits = self.endpoint_limits(raw.limits, limits, &at.key("limits"));
        let policy = Auth {
            cookie_path: cookie_path(&prefix, &aliases, AuthEndpoint::reads_refresh_token),
            device_path: cookie_path(&prefix, &aliases, AuthEndpoint::compares_proofs),
            alias_paths: alias_paths(&aliases),
            prefix,
            docs: raw.docs.unwrap_or(false),
            registration_open: raw.registration != Some(raw::Registration::Closed),
            reserved_names: self.reserved_names(raw.reserved_names, &at.key("reserved_names")),
            password: self.password(raw.password.unwrap_or_default(), &at.key("password")),
            lockout: self.lockout(raw.lockout.unwrap_or_default(), &at.key("lockout")),
            keys: self.keys(raw.keys.unwrap_or_default(), &at.key("keys")),
            mfa: self.mfa(raw.mfa.unwrap_or_default(), &at.key("mfa")),
            email: self.email(raw.email.unwrap_or_default(), raw.require_verified_email, &at.key("email")),
            limits,
        };
        CompiledAuth { policy, aliases }
    }

    fn reserved_names(&mut self, raw: Option<raw::List<String>>, at: &Place<'_>) -> ReservedNames {
        let Some(raw) = raw else { return ReservedNames::with(&[]) };
        if raw.is_empty() {
            return ReservedNames::none();
        }
        let mut names = Vec::new();
        for (index, name) in self.items(raw, at) {
            if let Err(reason) = name::check_username(&name) {
                self.problems.error(&at.item(index), format!("nobody can have this name: {reason}"));
            }
            names.push(name);
        }
        ReservedNames::with(&names)
    }

    fn auth_prefix(&mut self, raw: Option<String>, at: &Place<'_>) -> String {
        let default = || "/auth".to_owned();
        let Some(prefix) = raw else {
            return default();
        };
        let wrong = match pattern::parameters(&prefix) {
            Ok(parameters) if parameters.is_empty() && !prefix.ends_with('/') => return prefix,
            Ok(_) => "expected a plain path such as /auth, without a slash at its end".to_owned(),
            Err(message) => message,
        };
        self.problems.error(at, wrong);
        default()
    }

    pub fn endpoint(&mut self, name: &str, at: &Place<'_>) -> Option<AuthEndpoint> {
        let known = || AuthEndpoint::ALL.into_iter();
        if let Some(endpoint) = known().find(|endpoint| endpoint.as_str() == name) {
            return Some(endpoint);
        }
        let suggestion = self.problems.suggestion(name, known().map(AuthEndpoint::as_str));
        let choices: Vec<&str> = known().map(AuthEndpoint::as_str).collect();
        let message = format!("{name:?} isn't one of {}{suggestion}", choices.join(", "));
        self.problems.error(at, message);
        None
    }

    fn password(&mut self, raw: raw::Password, at: &Place<'_>) -> PasswordRules {
        let min_length = self.number(at, "min_length", raw.min_length, 8, 8..=256);
        let max_length = self.number(at, "max_length", raw.max_length, 1024, 64..=4096);
        if min_length > max_length {
            self.problems.error(&at.key("min_length"), "must not be more than `max_length`");
        }
        PasswordRules {
            min_length: min_length as usize,
            max_length: max_length as usize,
            argon2: self.argon2(raw.argon2.unwrap_or_default(), &at.key("argon2")),
            workers: self.number(at, "workers", raw.workers, 1, 1..=64) as usize,
            queue: self.number(at, "queue", raw.queue, 64, 1..=10_000) as usize,
        }
    }

    fn argon2(&mut self, raw: raw::Argon2, at: &Place<'_>) -> Argon2Params {
        let memory = self.size(at, "memory", raw.memory, 19 << 20, 8 << 10..=4 << 30);
        let params = Argon2Params {
            memory_kib: u32::try_from(memory >> 10).unwrap_or(u32::MAX),
            iterations: self.number(at, "iterations", raw.iterations, 2, 1..=100),
            parallelism: self.number(at, "parallelism", raw.parallelism, 1, 1..=64),
        };
        if params.memory_kib < 8 * params.parallelism {
            self.problems.error(&at.key("memory"), "must be at least 8KiB for each of `parallelism`");
        }
        // OWASP's choices (19 MiB × 2, 12 MiB × 3, 9 MiB × 4, 7 MiB × 5) all lie above this.
        if u64::from(params.memory_kib) * u64::from(params.iterations) < 35 << 10 {
            self.problems.warning(at, "weaker than OWASP's floor, such as 19MiB with 2 iterations");
        }
        params
    }

    fn email(&mut self, raw: raw::Email, is_required: Option<bool>, at: &Place<'_>) -> EmailRules {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        let most = raw.limit.map_or(Ok((5, minutes(60))), |rate| {
            quantity::rate(&rate).map(|(count, window)| (count.get(), window))
        });
        EmailRules {
            is_required: is_required.unwrap_or(false),
            change_needs_password: self.change_needs_password(raw.change_needs_password, at),
            notices: raw.notices.unwrap_or(true),
            verify_ttl: self.positive_duration(at, "verify_ttl", raw.verify_ttl, minutes(24 * 60)),
            reset_ttl: self.positive_duration(at, "reset_ttl", raw.reset_ttl, minutes(30)),
            verify_link: self.mail_link(raw.verify_link, &at.key("verify_link")),
            reset_link: self.mail_link(raw.reset_link, &at.key("reset_link")),
            most: most.unwrap_or_else(|message| {
                self.problems.error(&at.key("limit"), message);
                (5, minutes(60))
            }),
        }
    }

    fn change_needs_password(&mut self, raw: Option<bool>, at: &Place<'_>) -> bool {
        let needs = raw.unwrap_or(true);
        if !needs {
            let message = "whoever has an access token can have mail for a new password sent to themselves";
            self.problems.warning(&at.key("change_needs_password"), message);
        }
        needs
    }

    fn mfa(&mut self, raw: raw::Mfa, at: &Place<'_>) -> MfaRules {
        MfaRules {
            required_roles: self.roles(&at.key("required_roles"), raw.required_roles),
            issuer: self.text(at, "issuer", raw.issuer, "Portcullis"),
            ticket_ttl: self.positive_duration(at, "ticket_ttl", raw.ticket_ttl, Duration::from_secs(300)),
        }
    }

    fn keys(&mut self, raw: raw::Keys, at: &Place<'_>) -> KeyRules {
        let year = Duration::from_secs(365 * 24 * 3600);
        let max_ttl = raw.max_ttl.map(|text| self.positive_duration(at, "max_ttl", Some(text), year));
        KeyRules { enabled: raw.enabled.unwrap_or(true), max_ttl }
    }

    fn mail_link(&mut self, raw: Option<String>, at: &Place<'_>) -> Option<String> {
        let link = self.plain_text(at, raw?)?;
        let is_url = link.starts_with("https://") || link.starts_with("http://");
        if !is_url || !link.contains("{token}") || link.contains(char::is_whitespace) {
            let message = "write the URL of a page, like https://app.example.org/reset#{token}";
            self.problems.error(at, message);
        }
        Some(link)
    }

    fn lockout(&mut self, raw: raw::Lockout, at: &Place<'_>) -> LockoutRule {
        LockoutRule {
            failures: self.number(at, "failures", raw.failures, 5, 1..=100),
            for_: self.positive_duration(at, "for", raw.for_, Duration::from_secs(15 * 60)),
        }
    }
}

/// Without a slash at the end. An alias at the root doesn't make everything its own.
fn alias_paths(aliases: &[Alias]) -> Vec<String> {
    let paths = aliases.iter().map(|alias| alias.path.trim_end_matches('/').to_owned());
    let mut paths: Vec<String> = paths.filter(|path| !path.is_empty()).collect();
    paths.dedup();
    paths
}

/// The deepest folder that has all paths to which browsers must send a cookie.
fn cookie_path(prefix: &str, aliases: &[Alias], reads_it: fn(AuthEndpoint) -> bool) -> String {
    let mut common: Vec<&str> = prefix.split('/').collect();
    for alias in aliases.iter().filter(|alias| reads_it(alias.endpoint)) {
        let same = common.iter().zip(alias.path.split('/')).take_while(|(one, other)| *one == other);
        common.truncate(same.count());
    }
    let path = common.join("/");
    if path.is_empty() { "/".to_owned() } else { path }
}
