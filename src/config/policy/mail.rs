//! How mail goes out, and what it says.

use std::path::PathBuf;

use crate::identity::secret::Secret;

#[derive(Debug, Clone)]
pub struct Mail {
    /// `Name <address>` or an address.
    pub from: String,
    /// `None`: no mail is sent.
    pub delivery: Option<MailDelivery>,
    pub verify: MailTemplate,
    pub reset: MailTemplate,
    pub notice: MailTemplate,
    /// To operators, of other operators.
    pub operators: MailTemplate,
}

#[derive(Debug, Clone)]
pub enum MailDelivery {
    /// A file for each mail.
    Folder(PathBuf),
    Smtp(SmtpServer),
}

#[derive(Debug, Clone)]
pub struct SmtpServer {
    pub host: String,
    pub port: u16,
    pub tls: SmtpTls,
    /// User and password.
    pub login: Option<(String, Secret)>,
    /// Certificates in PEM that are trusted beside the usual ones.
    pub ca: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpTls {
    /// Begins in the clear; without TLS after that, nothing is sent.
    Starttls,
    Implicit,
    Never,
}

/// The words of [`crate::mail::Errand`] or [`crate::mail::Notice`] are filled in.
#[derive(Debug, Clone)]
pub struct MailTemplate {
    pub subject: String,
    pub text: String,
    pub html: String,
}
