//! A mail: a template filled in, as plain text and as HTML.

use lettre::Message;
use lettre::message::{Mailbox, MultiPart};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::config::policy::MailTemplate;

/// What templates speak of.
pub struct Facts<'a> {
    pub username: &'a str,
    pub token: &'a str,
    /// Where a page takes the token; `{token}` stands for it.
    pub link: Option<&'a str>,
    pub expires_at: Timestamp,
}

/// `Err` says in words what can't be mailed.
pub fn write(from: &str, to: &str, template: &MailTemplate, facts: &Facts<'_>) -> Result<Message, String> {
    let mailbox = |text: &str| text.parse::<Mailbox>().map_err(|error| format!("{text}: {error}"));
    let from = mailbox(from)?;
    let id = format!("<{}@{}>", Uuid::new_v4(), from.email.domain());
    let message = Message::builder()
        .from(from)
        .to(mailbox(to)?)
        .subject(&template.subject)
        .message_id(Some(id))
        // RFC 3834: no answering machine should answer.
        .header(AutoSubmitted)
        .multipart(MultiPart::alternative_plain_html(
            facts.fill(&template.text, |text| text.to_owned(), Facts::action),
            facts.fill(&template.html, escape, Facts::action_html),
        ));
    message.map_err(|error| error.to_string())
}

impl Facts<'_> {
    fn fill(
        &self,
        template: &str,
        quote: impl Fn(&str) -> String,
        action: impl Fn(&Self, &str) -> String,
    ) -> String {
        let link = self.link.unwrap_or_default().replace("{token}", self.token);
        let expires = self.expires_at.format("%Y-%m-%d %H:%M UTC").to_string();
        // What is filled in isn't looked at again: a name may contain `{token}`.
        let mut filled = String::with_capacity(template.len() + 512);
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            filled.push_str(before);
            let known = after.split_once('}').and_then(|(name, behind)| {
                let value = match name {
                    "username" => quote(self.username),
                    "token" => quote(self.token),
                    "link" => quote(&link),
                    "expires" => quote(&expires),
                    "action" => action(self, &link),
                    _ => return None,
                };
                Some((value, behind))
            });
            match known {
                Some((value, behind)) => {
                    filled.push_str(&value);
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

    fn action(&self, link: &str) -> String {
        match self.link {
            Some(_) => format!("    {link}"),
            None => format!("Enter this code where you are asked for it:\n\n    {}", self.token),
        }
    }

    fn action_html(&self, link: &str) -> String {
        match self.link {
            Some(_) => format!("<p><a href=\"{0}\">{0}</a></p>", escape(link)),
            None => format!(
                "<p>Enter this code where you are asked for it:</p>\n    <p><code>{}</code></p>",
                escape(self.token)
            ),
        }
    }
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

    fn facts<'a>(username: &'a str, link: Option<&'a str>) -> Facts<'a> {
        let expires_at = Timestamp::from_timestamp(1_767_225_600, 0).unwrap();
        Facts { username, token: "t0ken", link, expires_at }
    }

    fn text(template: &str, facts: &Facts<'_>) -> String {
        facts.fill(template, |text| text.to_owned(), Facts::action)
    }

    #[test]
    fn known_words_are_filled_in_and_nothing_else() {
        let facts = facts("alice", Some("https://app.example/reset#{token}"));

        assert_eq!(
            text("{username} {link} {expires} {other} { {token", &facts),
            "alice https://app.example/reset#t0ken 2026-01-01 00:00 UTC {other} { {token"
        );
        assert_eq!(text("{action}", &facts), "    https://app.example/reset#t0ken");
    }

    #[test]
    fn without_a_page_the_token_itself_is_told() {
        assert!(text("{action}", &facts("alice", None)).ends_with("\n    t0ken"));
    }

    #[test]
    fn what_is_filled_in_is_text_and_not_markup_or_another_template() {
        let facts = facts("{token}<b>", Some("https://app.example/?a=1&t={token}"));
        let html = facts.fill("<p>{username}</p>{action}", escape, Facts::action_html);

        assert!(html.starts_with("<p>{token}&lt;b&gt;</p>"), "{html}");
        assert!(html.contains("href=\"https://app.example/?a=1&amp;t=t0ken\""), "{html}");
    }

    #[test]
    fn an_address_that_could_change_the_mail_is_refused() {
        let template =
            MailTemplate { subject: "s".to_owned(), text: "{token}".to_owned(), html: String::new() };
        for bad in ["a@b\r\nBcc: c@d", "a", "", "a@b, c@d"] {
            assert!(write("x@example.org", bad, &template, &facts("alice", None)).is_err(), "{bad:?}");
        }
        let good = write("X <x@example.org>", "a@example.org", &template, &facts("alice", None)).unwrap();
        let raw = String::from_utf8(good.formatted()).unwrap();
        assert!(
            raw.contains("To: a@example.org\r\n") && raw.contains("Auto-Submitted: auto-generated\r\n"),
            "{raw}"
        );
    }
}
