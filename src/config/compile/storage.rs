//! `storage:`

use std::path::{Path, PathBuf};

use super::Compiler;
use crate::config::place::Place;
use crate::config::policy::{StateStorage, Storage, UserStorage};
use crate::config::raw;

const DEFAULT_USERS: &str = "sqlite://data/portcullis.db";
const DEFAULT_STATE: &str = "embedded";

impl Compiler<'_> {
    pub fn storage(&mut self, raw: raw::Storage, at: &Place<'_>) -> Option<Storage> {
        // A variable that was read from a file often ends with a newline.
        let trimmed =
            |url: Option<String>, default: &str| url.map_or(default.to_owned(), |url| url.trim().to_owned());
        let (users, state) = (trimmed(raw.users, DEFAULT_USERS), trimmed(raw.state, DEFAULT_STATE));
        let parsed_users =
            user_storage(&users).map_err(|message| self.problems.error(&at.key("users"), message));
        if let Ok(UserStorage::Postgres(url)) = &parsed_users {
            for name in &url.without_effect {
                let message = format!("the parameter {name:?} has no effect here; leave it out");
                self.problems.warning(&at.key("users"), message);
            }
        }
        let folder = match &parsed_users {
            Ok(UserStorage::Sqlite(path)) => path.parent().map(Path::to_path_buf).unwrap_or_default(),
            _ => PathBuf::from("data"),
        };
        self.check_state_ca(raw.state_ca.as_deref(), &state, at);
        let ca =
            raw.state_ca.or_else(|| self.trusted_by_environment().filter(|_| state.starts_with("rediss")));
        let parsed_state = state_storage(&state, ca, &folder)
            .map_err(|message| self.problems.error(&at.key("state"), message));
        if parsed_users.is_ok() {
            self.warn_of_password(&users, &at.key("users"));
        }
        if parsed_state.is_ok() {
            self.warn_of_password(&state, &at.key("state"));
        }
        Some(Storage { users: parsed_users.ok()?, state: parsed_state.ok()? })
    }

    fn check_state_ca(&mut self, ca: Option<&str>, state: &str, at: &Place<'_>) {
        let at = at.key("state_ca");
        self.check_ca(ca, &at);
        if ca.is_some() && !state.starts_with("rediss") {
            self.problems.error(
                &at,
                "`state` speaks no TLS; write rediss://, rediss+cluster:// or rediss+sentinel://",
            );
        }
    }
}

/// Problems never show the URL, which may hold a password.
fn user_storage(url: &str) -> Result<UserStorage, String> {
    match split_scheme(url) {
        Some(("sqlite", path)) if path.is_empty() || path.contains(['?', '#']) || path == ":memory:" => {
            Err(format!("expected the path of a file; write it like {DEFAULT_USERS}"))
        }
        Some(("sqlite", path)) => Ok(UserStorage::Sqlite(path.into())),
        Some(("postgres" | "postgresql", _)) => Ok(UserStorage::Postgres(url.parse()?)),
        Some((scheme, _)) => {
            Err(format!("the scheme {scheme:?} isn't supported; use postgres://… or {DEFAULT_USERS}"))
        }
        None => Err(format!("expected postgres://… or {DEFAULT_USERS}")),
    }
}

fn state_storage(url: &str, ca: Option<String>, folder: &Path) -> Result<StateStorage, String> {
    if url == "embedded" {
        return Ok(StateStorage::Embedded(folder.join("state.db")));
    }
    match split_scheme(url) {
        Some((
            "redis" | "rediss" | "redis+cluster" | "rediss+cluster" | "redis+sentinel" | "rediss+sentinel",
            _,
        )) => Ok(StateStorage::Redis { servers: url.parse()?, ca }),
        Some((scheme, _)) => Err(format!(
            "the scheme {scheme:?} isn't supported; use `embedded`, redis://, redis+cluster:// or redis+sentinel://"
        )),
        None => Err("expected `embedded`, redis://…, redis+cluster://… or redis+sentinel://…".to_owned()),
    }
}

fn split_scheme(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    (!scheme.is_empty() && scheme.chars().all(is_plain)).then_some((scheme, rest))
}
