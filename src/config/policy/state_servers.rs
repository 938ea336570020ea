//! Where Redis is: one server, a cluster, or whatever server the sentinels name.

use std::str::FromStr;

use super::store_url::{StoreUrl, encoded};
use crate::identity::secret::Secret;

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisServers {
    One {
        address: RedisAddress,
        access: RedisAccess,
        database: u32,
    },
    /// Some servers of the cluster; they know the others.
    Cluster {
        seeds: Vec<RedisAddress>,
        access: RedisAccess,
    },
    /// The sentinels, and what they call the master.
    Sentinel {
        sentinels: Vec<RedisAddress>,
        sentinel_access: RedisAccess,
        master: String,
        access: RedisAccess,
        database: u32,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RedisAddress {
    /// A name, an IPv4 address, or an IPv6 address without brackets.
    pub host: String,
    pub port: u16,
}

/// How to speak to servers that are named by their addresses alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisAccess {
    pub tls: bool,
    /// Empty, or `user:password@` as in the URL.
    login: Secret,
}

impl RedisAccess {
    /// The URL of one server.
    pub fn url(&self, address: &RedisAddress, database: u32) -> String {
        let scheme = if self.tls { "rediss" } else { "redis" };
        let login = String::from_utf8_lossy(self.login.expose());
        format!("{scheme}://{login}{address}/{database}")
    }
}

impl std::fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// What is wrong never shows the URL, which may hold a password.
impl FromStr for RedisServers {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let expected = || "expected redis://…, redis+cluster://… or redis+sentinel://…".to_owned();
        if !url.contains("://") {
            return Err(expected());
        }
        let url = StoreUrl::parse(url)?;
        match url.scheme {
            "redis" | "rediss" => one(url.scheme == "rediss", &url),
            "redis+cluster" | "rediss+cluster" => cluster(url.scheme == "rediss+cluster", &url),
            "redis+sentinel" | "rediss+sentinel" => sentinel(url.scheme == "rediss+sentinel", &url),
            _ => Err(expected()),
        }
    }
}

fn one(tls: bool, url: &StoreUrl<'_>) -> Result<RedisServers, String> {
    const EXAMPLE: &str = "redis://host:6379";
    if url.servers.is_empty() {
        return Err(format!("the URL names no server; write it like {EXAMPLE}"));
    }
    if !url.parameters.is_empty() {
        return Err(format!("the URL of one Redis takes no parameters; write it like {EXAMPLE}"));
    }
    let address = address(url.servers, REDIS_PORT).ok_or_else(|| {
        format!(
            "expected one server as `host` or `host:port`; write it like {EXAMPLE}, and %40 or %3A for a `@` or `:` \
             in a user name or password"
        )
    })?;
    let database = match url.path {
        "" => 0,
        number => number.parse().map_err(
            |_| "the database after the server must be a number; write it like redis://host:6379/0",
        )?,
    };
    Ok(RedisServers::One { address, access: RedisAccess { tls, login: url.login() }, database })
}

fn cluster(tls: bool, url: &StoreUrl<'_>) -> Result<RedisServers, String> {
    const EXAMPLE: &str = "redis+cluster://host:6379,host:6379";
    if !url.parameters.is_empty() {
        return Err(format!("a cluster's URL takes no parameters; write it like {EXAMPLE}"));
    }
    if !matches!(url.path, "" | "0") {
        return Err("a Redis Cluster has one database, 0; leave the path out".to_owned());
    }
    let seeds = addresses(url.servers, REDIS_PORT, EXAMPLE)?;
    Ok(RedisServers::Cluster { seeds, access: RedisAccess { tls, login: url.login() } })
}

fn sentinel(tls: bool, url: &StoreUrl<'_>) -> Result<RedisServers, String> {
    const EXAMPLE: &str = "redis+sentinel://host:26379,host:26379/mymaster/0";
    let (master, database) = url.path.split_once('/').unwrap_or((url.path, "0"));
    if master.is_empty() {
        return Err(format!(
            "the URL doesn't say what the sentinels call the master; write it like {EXAMPLE}"
        ));
    }
    let database = database.parse().map_err(|_| {
        format!("the database after the master's name must be a number; write it like {EXAMPLE}")
    })?;
    Ok(RedisServers::Sentinel {
        sentinels: addresses(url.servers, SENTINEL_PORT, EXAMPLE)?,
        sentinel_access: RedisAccess { tls, login: sentinel_login(&url.parameters)? },
        master: super::store_url::decoded(master)?,
        access: RedisAccess { tls, login: url.login() },
        database,
    })
}

/// The sentinels' own login, if they have one.
fn sentinel_login(parameters: &[(String, String)]) -> Result<Secret, String> {
    let (mut username, mut password) = ("", None);
    for (name, value) in parameters {
        match name.as_str() {
            "sentinel_username" => username = value,
            "sentinel_password" => password = Some(value),
            _ => {
                return Err("the URL takes no other parameters than sentinel_username and sentinel_password"
                    .to_owned());
            }
        }
    }
    match password {
        Some(password) => Ok(Secret::new(format!("{}:{}@", encoded(username), encoded(password)))),
        None if username.is_empty() => Ok(Secret::new("")),
        None => Err("sentinel_username needs a sentinel_password".to_owned()),
    }
}

fn addresses(list: &str, port: u16, example: &str) -> Result<Vec<RedisAddress>, String> {
    let addresses: Option<Vec<RedisAddress>> = list.split(',').map(|text| address(text, port)).collect();
    addresses.ok_or_else(|| {
        format!("expected servers as `host` or `host:port` with commas between them; write it like {example}")
    })
}

fn address(text: &str, default_port: u16) -> Option<RedisAddress> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => text.find(':').map_or((text, ""), |colon| text.split_at(colon)),
    };
    let port = match port.strip_prefix(':') {
        Some(port) => port.parse().ok().filter(|port| *port > 0)?,
        None if port.is_empty() => default_port,
        None => return None,
    };
    let is_host_character = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    let is_host = !host.is_empty() && host.chars().all(is_host_character);
    is_host.then(|| RedisAddress { host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(addresses: &[RedisAddress], access: &RedisAccess) -> Vec<String> {
        addresses.iter().map(|address| access.url(address, 0)).collect()
    }

    #[test]
    fn a_cluster_is_a_list_of_servers_with_one_login() {
        let parsed = "rediss+cluster://gate:p%40ss@a:7000,b,[::1]:7001".parse();

        let Ok(RedisServers::Cluster { seeds, access }) = parsed else { panic!("{parsed:?}") };
        let expected = [
            "rediss://gate:p%40ss@a:7000/0",
            "rediss://gate:p%40ss@b:6379/0",
            "rediss://gate:p%40ss@[::1]:7001/0",
        ];
        assert_eq!(urls(&seeds, &access), expected);
    }

    #[test]
    fn sentinels_have_a_master_with_a_database_and_a_login_of_their_own() {
        let parsed = "redis+sentinel://:pw@a,b:7/mymaster/3?sentinel_password=s".parse();

        let Ok(RedisServers::Sentinel { sentinels, sentinel_access, master, access, database }) = parsed
        else {
            panic!("{parsed:?}")
        };
        assert_eq!(urls(&sentinels, &sentinel_access), ["redis://:s@a:26379/0", "redis://:s@b:7/0"]);
        assert_eq!((master.as_str(), database), ("mymaster", 3));
        assert_eq!(access.url(&sentinels[0], database), "redis://:pw@a:26379/3");
    }

    #[test]
    fn one_server_may_have_a_login_and_a_database() {
        for (url, expected) in [
            ("redis://a", "redis://a:6379/0"),
            ("rediss://:p%2Fx@a:7/3", "rediss://:p%2Fx@a:7/3"),
            ("redis://gate:p@ss@[::1]/", "redis://gate:p%40ss@[::1]:6379/0"),
        ] {
            let parsed = url.parse();
            let Ok(RedisServers::One { address, access, database }) = parsed else { panic!("{parsed:?}") };
            assert_eq!(access.url(&address, database), expected);
        }
    }

    #[test]
    fn nothing_else_is_accepted_and_no_password_is_shown() {
        for url in [
            "redis+cluster://",
            "redis+cluster://a,",
            "redis+cluster://a:",
            "redis+cluster://a:0",
            "redis+cluster://:hunter2@",
            "redis+cluster://u:hunter2@a:99999",
            "redis+cluster://a/1",
            "redis+cluster://a?hunter2",
            "redis+cluster://[::1",
            "redis+cluster://a b",
            "redis+sentinel://:hunter2@a",
            "redis+sentinel://a/",
            "redis+sentinel:///m",
            "redis+sentinel://a/m/hunter2",
            "redis+sentinel://a/m?password=hunter2",
            "redis+sentinel://a/m?sentinel_username=hunter2",
            "redis://",
            "rediss:///0",
            "redis://:hunter2/x@a",
            "redis://:p#hunter2@a",
            "redis://a/hunter2",
            "redis://a:hunter2",
            "redis://a?hunter2=1",
            "redis://a,b",
            "http://a",
            "",
        ] {
            let error = url.parse::<RedisServers>().expect_err(url);
            assert!(!error.contains("hunter2"), "{url}: {error}");
        }
        let shown = format!("{:?}", "redis+cluster://u:hunter2@a".parse::<RedisServers>());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
