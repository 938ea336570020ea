//! Mail on its way out: to an SMTP server, or into a folder. Knows neither accounts nor stores.

mod letter;

use std::fs::DirBuilder;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

pub use lettre::Message;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use uuid::Uuid;

use crate::config::policy::{MailDelivery, SmtpServer, SmtpTls};
pub use letter::{Errand, Notice, write};

/// For each step of a conversation with the server.
const TIMEOUT: Duration = Duration::from_secs(10);

/// `Err` says in words why it didn't go out.
pub async fn deliver(message: Message, delivery: &MailDelivery) -> Result<(), String> {
    match delivery {
        MailDelivery::Folder(folder) => {
            let (folder, mail) = (folder.clone(), message.formatted());
            let kept = tokio::task::spawn_blocking(move || keep(&folder, &mail));
            let kept = kept.await.map_err(|error| error.to_string())?;
            kept.map_err(|error| format!("writing a mail: {error}"))
        }
        MailDelivery::Smtp(server) => {
            let transport = transport(server).map_err(|error| format!("{}: {error}", server.host))?;
            transport.send(message).await.map_err(|error| format!("{}: {error}", server.host))?;
            Ok(())
        }
    }
}

/// For its owner only: whoever reads it can do what the mail is for. Seen by its name only once it is
/// whole; names sort by time.
fn keep(folder: &Path, mail: &[u8]) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let name = Uuid::now_v7();
    let draft = folder.join(format!(".{name}"));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(mail)?;
    file.sync_all()?;
    std::fs::rename(&draft, folder.join(format!("{name}.eml")))
}

/// A connection for each mail: there are few, and none goes stale.
fn transport(
    server: &SmtpServer,
) -> Result<AsyncSmtpTransport<Tokio1Executor>, lettre::transport::smtp::Error> {
    let tls = match server.tls {
        SmtpTls::Never => Tls::None,
        SmtpTls::Starttls => Tls::Required(tls_parameters(server)?),
        SmtpTls::Implicit => Tls::Wrapper(tls_parameters(server)?),
    };
    let builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&server.host)
        .port(server.port)
        .tls(tls)
        .timeout(Some(TIMEOUT));
    let builder = match &server.login {
        Some((user, password)) => {
            let password = String::from_utf8_lossy(password.expose()).into_owned();
            builder.credentials(Credentials::new(user.clone(), password))
        }
        None => builder,
    };
    Ok(builder.build())
}

fn tls_parameters(server: &SmtpServer) -> Result<TlsParameters, lettre::transport::smtp::Error> {
    let mut parameters = TlsParameters::builder(server.host.clone());
    if let Some(pem) = &server.ca {
        parameters = parameters.add_root_certificate(Certificate::from_pem(pem.as_bytes())?);
    }
    parameters.build_rustls()
}
