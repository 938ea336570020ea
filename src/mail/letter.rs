//! A mail: a template filled in, as plain text and as HTML.

use std::net::IpAddr;

use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::config::policy::MailTemplate;
use crate::identity::email;

const ASKED: &str = "Enter this code where you are asked for it:";

/// What stands for `{name}` in a template.
pub struct Word {
    name: &'static str,
    text: String,
    html: String,
}

impl Word {
    fn plain(name: &'static str, text: String) -> Self {
        Self { name, html: escape(&text), text }
    }
}

/// For a mail by which something can be done.
pub struct Errand<'a> {
    pub username: &'a str,
    pub token: &'a str,
    /// Where a page takes the token; `{token}` stands for it.
    pub link: Option<&'a str>,
    pub expires_at: Timestamp,
}

impl Errand<'_> {
    pub fn words(&self) -> Vec<Word> {
        let link = self.link.map(|link| link.replace("{token}", self.token));
        vec![
            Word::plain("username", self.username.to_owned()),
            Word::plain("token", self.token.to_owned()),
            Word::plain("expires", minute(self.expires_at)),
            self.action(link.as_deref()),
            Word::plain("link", link.unwrap_or_default()),
        ]
    }

    fn action(&self, link: Option<&str>) -> Word {
        let (text, html) = match link {
            Some(link) => (format!("    {link}"), format!("<p><a href=\"{0}\">{0}</a></p>", escape(link))),
            None => (
                format!("{ASKED}\n\n    {}", self.token),
                format!("<p>{ASKED}</p>\n    <p><code>{}</code></p>", escape(self.token)),
            ),
        };
        Word { name: "action", text, html }
    }
}

/// For a mail that tells what was done.
pub struct Notice<'a> {
    pub username: &'a str,
    /// As a sentence without its full stop.
    pub change: &'a str,
    pub at: Timestamp,
    /// Of whoever did it.
    pub address: Option<IpAddr>,
}

impl Notice<'_> {
    pub fn words(&self) -> Vec<Word> {
        let address = self.address.map_or_else(|| "unknown".to_owned(), |address| address.to_string());
        vec![
            Word::plain("username", self.username.to_owned()),
            Word::plain("change", self.change.to_owned()),
            Word::plain("time", minute(self.at)),
            Word::plain("address", address),
        ]
    }
}

fn minute(at: Timestamp) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}

/// To the address and nothing else, which may be one of before the rules. `Err` says in words what can't be mailed.
pub fn write(from: &str, to: &str, template: &MailTemplate, words: &[Word]) -> Result<Message, String> {
    let from: Mailbox = from.parse().map_err(|error| format!("{from}: {error}"))?;
    let to = email::parse(to).and_then(|to| to.parse::<Address>().map_err(|error| error.to_string()));
    let to = to.map_err(|error| format!("the address of the account: {error}"))?;
    let id = format!("<{}@{}>", Uuid::new_v4(), from.email.domain());
    let message = Message::builder()
        .from(from)
        .to(Mailbox::new(None, to))
        .subject(subject(&template.subject, words))
        .message_id(Some(id))
        // RFC 3834: no answering machine should answer.
        .header(AutoSubmitted)
        .multipart(MultiPart::alternative_plain_html(
            fill(&template.text, words, |word| &word.text),
            fill(&template.html, words, |word| &word.html),
        ));
    message.map_err(|error| error.to_string())
}

/// On one line, whatever is filled in: nothing may begin another header field.
fn subject(template: &str, words: &[Word]) -> String {
    let filled = fill(template, words, |word| &word.text);
    let lines: Vec<_> = filled.split(|sign: char| sign.is_control() || sign.is_whitespace()).collect();
    lines.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

fn fill(template: &str, words: &[Word], value: impl Fn(&Word) -> &str) -> String {
    // What is filled in isn't looked at again: a name may contain `{token}`.
    let mut filled = String::with_capacity(template.len() + 512);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let known = after.split_once('}').and_then(|(name, behind)| {
            let word = words.iter().find(|word| word.name == name)?;
            Some((value(word), behind))
        });
        match known {
            Some((value, behind)) => {
                filled.push_str(value);
                rest = behind;
            }
            None => {
                filled.push('{');
                rest = after;
            }
        }
    }
    filled + rest
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[derive(Clone)]
struct AutoSubmitted;

impl lettre::message::header::Header for AutoSubmitted {
    fn name() -> lettre::message::header::HeaderName {
        lettre::message::header::HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> lettre::message::header::HeaderValue {
        lettre::message::header::HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errand<'a>(username: &'a str, link: Option<&'a str>) -> Errand<'a> {
        let expires_at = Timestamp::from_timestamp(1_767_225_600, 0).unwrap();
        Errand { username, token: "t0ken", link, expires_at }
    }

    fn text(template: &str, words: &[Word]) -> String {
        fill(template, words, |word| &word.text)
    }

    fn html(template: &str, words: &[Word]) -> String {
        fill(template, words, |word| &word.html)
    }

    #[test]
    fn known_words_are_filled_in_and_nothing_else() {
        let words = errand("alice", Some("https://app.example/reset#{token}")).words();

        assert_eq!(
            text("{username} {link} {expires} {other} { {token", &words),
            "alice https://app.example/reset#t0ken 2026-01-01 00:00 UTC {other} { {token"
        );
        assert_eq!(text("{action}", &words), "    https://app.example/reset#t0ken");
    }

    #[test]
    fn without_a_page_the_token_itself_is_told() {
        assert!(text("{action}", &errand("alice", None).words()).ends_with("\n    t0ken"));
    }

    #[test]
    fn what_is_filled_in_is_text_and_not_markup_or_another_template() {
        let words = errand("{token}<b>", Some("https://app.example/?a=1&t={token}")).words();
        let html = html("<p>{username}</p>{action}", &words);

        assert!(html.starts_with("<p>{token}&lt;b&gt;</p>"), "{html}");
        assert!(html.contains("href=\"https://app.example/?a=1&amp;t=t0ken\""), "{html}");
    }

    #[test]
    fn a_notice_says_what_happened_when_and_from_where() {
        let at = Timestamp::from_timestamp(1_767_225_600, 0).unwrap();
        let mut notice = Notice { username: "<i>", change: "Your name was changed", at, address: None };

        let template = "{username} {change} {time} {address} {token}";
        assert_eq!(
            html(template, &notice.words()),
            "&lt;i&gt; Your name was changed 2026-01-01 00:00 UTC unknown {token}"
        );
        notice.address = Some(IpAddr::from([192, 0, 2, 1]));
        assert_eq!(text("{address}", &notice.words()), "192.0.2.1");
    }

    #[test]
    fn a_subject_is_filled_in_and_stays_on_one_line() {
        let template = MailTemplate {
            subject: "{username}: confirm  before {expires} {nothing}".to_owned(),
            text: "{token}".to_owned(),
            html: String::new(),
        };
        for (username, expected) in [
            ("alice", "alice: confirm before 2026-01-01 00:00 UTC {nothing}"),
            ("a\r\nBcc: c@d", "a Bcc: c@d: confirm before 2026-01-01 00:00 UTC {nothing}"),
        ] {
            let mail =
                write("x@example.org", "a@example.org", &template, &errand(username, None).words()).unwrap();
            let raw = String::from_utf8(mail.formatted()).unwrap().replace("\r\n ", " ");
            assert!(raw.contains(&format!("Subject: {expected}\r\n")), "{raw}");
            assert!(!raw.contains("\nBcc:"), "{raw}");
        }
    }

    #[test]
    fn an_address_that_could_change_the_mail_is_refused() {
        let template =
            MailTemplate { subject: "s".to_owned(), text: "{token}".to_owned(), html: String::new() };
        let words = errand("alice", None).words();
        for bad in ["a@b\r\nBcc: c@d", "a", "", "a@b, c@d", "x0<victim@example.org>", "X <a@b>"] {
            assert!(write("x@example.org", bad, &template, &words).is_err(), "{bad:?}");
        }
        let good = write("X <x@example.org>", "a@example.org", &template, &words).unwrap();
        let raw = String::from_utf8(good.formatted()).unwrap();
        assert!(
            raw.contains("To: a@example.org\r\n") && raw.contains("Auto-Submitted: auto-generated\r\n"),
            "{raw}"
        );
    }
}
