//! A store's URL, taken apart. What is wrong never shows the URL, which may hold a password.

use crate::identity::percent;
use crate::identity::secret::Secret;

pub(super) struct StoreUrl<'u> {
    pub scheme: &'u str,
    pub user: Option<String>,
    pub password: Option<Secret>,
    /// Before the first slash, without the login.
    pub servers: &'u str,
    /// Without the slash before it, as it was written.
    pub path: &'u str,
    pub parameters: Vec<(String, String)>,
}

impl<'u> StoreUrl<'u> {
    pub fn parse(url: &'u str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or("the URL has no scheme")?;
        if rest.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err("the URL must not contain spaces".to_owned());
        }
        if rest.contains('#') {
            return Err(
                "a `#` would begin a fragment; write %23 for one in a user name or password".to_owned()
            );
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if path.contains('@') {
            return Err("a `/` would begin the path; write %2F for one in a user name or password".to_owned());
        }
        let parameters = parameters(query)?;
        let (login, servers) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(Secret::new(decoded(password)?))),
            None => (login, None),
        };
        let user = Some(decoded(user)?).filter(|user| !user.is_empty());
        Ok(Self { scheme, user, password, servers, path, parameters })
    }

    /// `user:password@` with everything encoded that could be read otherwise; empty without a login.
    pub fn login(&self) -> Secret {
        let user = encoded(self.user.as_deref().unwrap_or_default());
        match &self.password {
            Some(password) => {
                let password = String::from_utf8_lossy(password.expose()).into_owned();
                Secret::new(format!("{user}:{}@", encoded(&password)))
            }
            None if user.is_empty() => Secret::new(""),
            None => Secret::new(format!("{user}@")),
        }
    }
}

/// A text as it may stand anywhere in a URL.
pub(super) fn encoded(text: &str) -> String {
    percent::encoded(text, |byte| byte.is_ascii_alphanumeric()).into_owned()
}

pub(super) fn decoded(text: &str) -> Result<String, String> {
    percent::decoded(text).ok_or_else(|| {
        "a `%` must be followed by two hexadecimal digits; write %25 for one in a user name or password"
            .to_owned()
    })
}

fn parameters(query: &str) -> Result<Vec<(String, String)>, String> {
    let written = query.split('&').filter(|parameter| !parameter.is_empty());
    let parameter = |text: &str| {
        let (name, value) = text.split_once('=').ok_or(
            "a `?` would begin the parameters, which are written name=value; write %3F for one in a user name \
             or password",
        )?;
        Ok((decoded(name)?, decoded(&value.replace('+', "%20"))?))
    };
    written.map(parameter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_read_and_written_without_a_loss() {
        let url = StoreUrl::parse("redis://g%40te:p%23ss:w@rd@host:1/2?a=b%26c").expect("it is one");

        assert_eq!((url.scheme, url.servers, url.path), ("redis", "host:1", "2"));
        assert_eq!(url.user.as_deref(), Some("g@te"));
        assert_eq!(url.login(), Secret::new("g%40te:p%23ss%3Aw%40rd@"));
        assert_eq!(url.parameters, [("a".to_owned(), "b&c".to_owned())]);
    }

    #[test]
    fn what_would_be_read_otherwise_is_refused_with_its_remedy() {
        for (url, remedy) in [
            ("postgres://gw:p#hunter2@host/db", "%23"),
            ("redis://:hunter2/x@host", "%2F"),
            ("redis://:hunter2?x@host", "%3F"),
            ("redis://:hunter2%zz@host", "%25"),
            ("redis://:hunter2 @host", "spaces"),
            ("redis:hunter2", "scheme"),
        ] {
            let problem = StoreUrl::parse(url).err().expect(url);
            assert!(problem.contains(remedy) && !problem.contains("hunter2"), "{url}: {problem}");
        }
    }
}
