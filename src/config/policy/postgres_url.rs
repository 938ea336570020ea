//! The URL of a Postgres: what libpq takes, as far as the gateway can do what it says.

use std::net::IpAddr;

use super::store_url::{StoreUrl, encoded};
use crate::identity::secret::Secret;

const EXAMPLE: &str = "postgres://user:password@host/database";
const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
/// Of libpq, or of other drivers. The gateway has rules of its own for these.
const WITHOUT_EFFECT: [&str; 11] = [
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "fallback_application_name",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "pgbouncer",
    "target_session_attrs",
];

/// A URL that was understood in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    /// With all that was written as parameters, so that every driver reads it alike.
    pub url: Secret,
    /// The parameters that were left out.
    pub without_effect: Vec<String>,
}

/// What is wrong never shows the URL, which may hold a password.
impl std::str::FromStr for PostgresUrl {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let read = StoreUrl::parse(url)?;
        let mut settings = Settings::default();
        settings.take_server(read.servers)?;
        settings.set("user", read.user);
        settings
            .set("password", read.password.map(|text| String::from_utf8_lossy(text.expose()).into_owned()));
        let database = super::store_url::decoded(read.path)?;
        settings.set("dbname", Some(database).filter(|name| !name.is_empty()));
        let mut without_effect = Vec::new();
        for (name, value) in read.parameters {
            match known(&name) {
                Some(known) => settings.take_parameter(known, value)?,
                None if WITHOUT_EFFECT.contains(&name.as_str()) => without_effect.push(name),
                None => return Err(format!("the parameter {name:?} isn't known")),
            }
        }
        Ok(Self { url: settings.url()?, without_effect })
    }
}

/// In the order in which they were written; the last of a name counts.
#[derive(Default)]
struct Settings(Vec<(&'static str, String)>);

impl Settings {
    fn set(&mut self, name: &'static str, value: Option<String>) {
        let Some(value) = value else { return };
        self.0.retain(|(known, _)| *known != name || name == "options");
        self.0.push((name, value));
    }

    /// `host`, `host:port`, or a socket's folder as `%2Frun%2Fpostgresql`.
    fn take_server(&mut self, server: &str) -> Result<(), String> {
        if server.contains(',') {
            return Err("the URL must name one server".to_owned());
        }
        let (host, port) = match server.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => match server.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (server, None),
            },
        };
        let host = super::store_url::decoded(host)?;
        self.set("host", Some(host).filter(|host| !host.is_empty()));
        match port {
            Some(port) => self.take_parameter("port", port.to_owned()),
            None => Ok(()),
        }
    }

    fn take_parameter(&mut self, name: &'static str, value: String) -> Result<(), String> {
        let is_good = match name {
            "port" => value.parse::<u16>().is_ok_and(|port| port > 0),
            "hostaddr" => value.parse::<IpAddr>().is_ok(),
            "statement-cache-capacity" => value.parse::<usize>().is_ok(),
            "sslmode" => SSL_MODES.contains(&value.as_str()),
            _ => true,
        };
        if is_good {
            self.set(name, Some(value));
            return Ok(());
        }
        Err(match name {
            "port" => format!(
                "expected a port after the host; write it like {EXAMPLE}, and %40 or %3A for a \
                               `@` or `:` in a user name or password"
            ),
            "sslmode" => format!("`sslmode` must be one of {}", SSL_MODES.join(", ")),
            _ => format!("the value of `{name}` can't be read"),
        })
    }

    fn url(self) -> Result<Secret, String> {
        let mut host = self.0.iter().filter(|(name, _)| matches!(*name, "host" | "hostaddr"));
        let is_host = |text: &str| text.starts_with('/') || !text.contains(['/', '@', '?']);
        if !host.next().is_some_and(|(_, host)| is_host(host)) {
            return Err(format!("the URL names no server; write it like {EXAMPLE}"));
        }
        let settings: Vec<String> =
            self.0.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        Ok(Secret::new(format!("postgres:///?{}", settings.join("&"))))
    }
}

/// By all of its spellings.
fn known(name: &str) -> Option<&'static str> {
    Some(match name {
        "host" => "host",
        "hostaddr" => "hostaddr",
        "port" => "port",
        "dbname" => "dbname",
        "user" => "user",
        "password" => "password",
        "sslmode" | "ssl-mode" => "sslmode",
        "sslrootcert" | "ssl-root-cert" | "ssl-ca" => "sslrootcert",
        "sslcert" | "ssl-cert" => "sslcert",
        "sslkey" | "ssl-key" => "sslkey",
        "statement-cache-capacity" => "statement-cache-capacity",
        "application_name" => "application_name",
        "options" => "options",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<String, String> {
        let read: PostgresUrl = url.parse()?;
        Ok(String::from_utf8_lossy(read.url.expose()).into_owned())
    }

    #[test]
    fn every_form_becomes_the_same_kind_of_url() {
        for (url, settings) in [
            ("postgres://db", "host=db"),
            ("postgres://gw@db:5433/gate", "host=db&port=5433&user=gw&dbname=gate"),
            ("postgresql://gw:p%23s%2Fs@db", "host=db&user=gw&password=p%23s%2Fs"),
            ("postgres://[::1]:5432/x", "host=%3A%3A1&port=5432&dbname=x"),
            ("postgres:///gate?host=/run/postgresql", "dbname=gate&host=%2Frun%2Fpostgresql"),
            ("postgres://gw@%2Frun%2Fpostgresql/gate", "host=%2Frun%2Fpostgresql&user=gw&dbname=gate"),
            (
                "postgres://db/x?sslmode=require&ssl-ca=/ca.pem",
                "host=db&dbname=x&sslmode=require&sslrootcert=%2Fca%2Epem",
            ),
            ("postgres://db/x?connect_timeout=3", "host=db&dbname=x"),
        ] {
            assert_eq!(read(url), Ok(format!("postgres:///?{settings}")), "{url}");
        }
    }

    #[test]
    fn what_can_not_be_used_is_refused_and_no_password_is_shown() {
        for url in [
            "postgres://",
            "postgres:///gate",
            "postgres://gw:hunter2@",
            "postgres://gw:p#hunter2@db/gate",
            "postgres://gw:hunter2/x@db/gate",
            "postgres://gw:hunter2",
            "postgres://gw:hunter2@db:0/gate",
            "postgres://gw:hunter2@a,b/gate",
            "postgres://gw:hunter2@db/gate?sslmode=no-verify",
            "postgres://gw@db/gate?sslpassword=hunter2",
            "postgres://gw@db/gate?hostaddr=hunter2",
        ] {
            let problem = read(url).expect_err(url);
            assert!(!problem.contains("hunter2"), "{url}: {problem}");
        }
    }
}
