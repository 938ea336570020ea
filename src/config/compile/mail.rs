//! `mail:`

use super::Compiler;
use crate::config::place::Place;
use crate::config::policy::{Mail, MailDelivery, MailTemplate, SmtpServer, SmtpTls, UserStorage};
use crate::config::raw;
use crate::identity::secret::Secret;

const DEFAULT_FROM: &str = "Portcullis <portcullis@localhost>";

/// What must stand in each body, or the mail is of no use.
struct Essential {
    /// One of them.
    words: &'static [&'static str],
    problem: &'static str,
}

const ACTION: Essential = Essential {
    words: &["{action}", "{link}", "{token}"],
    problem: "tells nobody what to do; it needs {action}, {link} or {token}",
};
const CHANGE: Essential =
    Essential { words: &["{change}"], problem: "tells nobody what was changed; it needs {change}" };

impl Compiler<'_> {
    /// `users` says where mails go in the embedded default: beside the database.
    pub fn mail(&mut self, raw: raw::Mail, users: Option<&UserStorage>, at: &Place<'_>) -> Mail {
        let templates = raw.templates.unwrap_or_default();
        let place = at.key("templates");
        let verify = self.template(templates.verify, verify(), &ACTION, &place.key("verify"));
        let reset = self.template(templates.reset, reset(), &ACTION, &place.key("reset"));
        let notice = self.template(templates.notice, notice(), &CHANGE, &place.key("notice"));
        let operators = self.template(templates.operators, operators(), &CHANGE, &place.key("operators"));
        if raw.from.is_none() && raw.smtp.is_some() {
            self.problems.missing(at, "from", "write it like `from: Example <no-reply@example.org>`");
        }
        Mail {
            from: self.mail_from(raw.from, &at.key("from")),
            delivery: match (raw.smtp, raw.folder) {
                (Some(smtp), folder) => {
                    if folder.is_some() {
                        self.problems
                            .error(&at.key("folder"), "mail goes to `smtp` already; keep one of the two");
                    }
                    Some(MailDelivery::Smtp(self.smtp(smtp, &at.key("smtp"))))
                }
                (None, Some(folder)) => Some(MailDelivery::Folder(self.surroundings.locate(&folder))),
                (None, None) => match users {
                    Some(UserStorage::Sqlite(database)) => {
                        Some(MailDelivery::Folder(database.with_file_name("mail")))
                    }
                    _ => None,
                },
            },
            verify,
            reset,
            notice,
            operators,
        }
    }

    fn mail_from(&mut self, raw: Option<String>, at: &Place<'_>) -> String {
        let from = raw.unwrap_or_else(|| DEFAULT_FROM.to_owned());
        if from.parse::<lettre::message::Mailbox>().is_err() {
            self.problems.error(
                at,
                format!("{from:?} isn't an address; write it like Example <no-reply@example.org>"),
            );
        }
        from
    }

    fn smtp(&mut self, raw: raw::Smtp, at: &Place<'_>) -> SmtpServer {
        let tls = raw.tls.map_or(SmtpTls::Starttls, SmtpTls::from);
        let usual_port = match tls {
            SmtpTls::Starttls => 587,
            SmtpTls::Implicit => 465,
            SmtpTls::Never => 25,
        };
        let host = raw.host.and_then(|host| self.plain_text(&at.key("host"), host));
        if host.is_none() && !self.problems.is_known(&at.key("host")) {
            self.problems.missing(at, "host", "name the server: `host: smtp.example.org`");
        }
        let host = host.unwrap_or_default();
        let login = match (raw.username, raw.password) {
            (Some(user), Some(password)) => Some((user, Secret::new(password))),
            (None, None) => None,
            _ => {
                self.problems.error(at, "`username` and `password` go together");
                None
            }
        };
        if login.is_some() && tls == SmtpTls::Never && !is_local(&host) {
            let message = "the password would go over the network in the clear; write starttls or implicit";
            self.problems.error(&at.key("tls"), message);
        }
        self.check_ca(raw.ca.as_deref(), &at.key("ca"));
        let port = self.number(at, "port", raw.port, usual_port, 1..=65_535);
        let ca = raw.ca.or_else(|| self.trusted_by_environment());
        SmtpServer { host, port: u16::try_from(port).unwrap_or(u16::MAX), tls, login, ca }
    }

    fn template(
        &mut self,
        raw: Option<raw::Template>,
        usual: MailTemplate,
        essential: &Essential,
        at: &Place<'_>,
    ) -> MailTemplate {
        let raw = raw.unwrap_or_default();
        let template = MailTemplate {
            subject: self.text(at, "subject", raw.subject, &usual.subject),
            text: raw.text.unwrap_or(usual.text),
            html: raw.html.unwrap_or(usual.html),
        };
        for (key, body) in [("text", &template.text), ("html", &template.html)] {
            if !essential.words.iter().any(|word| body.contains(word)) {
                self.problems.error(&at.key(key), essential.problem);
            }
        }
        template
    }
}

fn is_local(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "::1")
}

fn verify() -> MailTemplate {
    MailTemplate {
        subject: "Confirm your email address".to_owned(),
        text: include_str!("../../mail/templates/verify.txt").to_owned(),
        html: include_str!("../../mail/templates/verify.html").to_owned(),
    }
}

fn reset() -> MailTemplate {
    MailTemplate {
        subject: "Reset your password".to_owned(),
        text: include_str!("../../mail/templates/reset.txt").to_owned(),
        html: include_str!("../../mail/templates/reset.html").to_owned(),
    }
}

fn notice() -> MailTemplate {
    MailTemplate {
        subject: "Your account was changed".to_owned(),
        text: include_str!("../../mail/templates/notice.txt").to_owned(),
        html: include_str!("../../mail/templates/notice.html").to_owned(),
    }
}

fn operators() -> MailTemplate {
    MailTemplate {
        subject: "The operators of the gateway have changed".to_owned(),
        text: include_str!("../../mail/templates/operators.txt").to_owned(),
        html: include_str!("../../mail/templates/operators.html").to_owned(),
    }
}

impl From<raw::SmtpTls> for SmtpTls {
    fn from(tls: raw::SmtpTls) -> Self {
        match tls {
            raw::SmtpTls::Starttls => Self::Starttls,
            raw::SmtpTls::Implicit => Self::Implicit,
            raw::SmtpTls::None => Self::Never,
        }
    }
}
