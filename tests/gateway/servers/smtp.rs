//! A mail server (RFC 5321) on a port of its own: STARTTLS, AUTH PLAIN, and every mail it took.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Received {
    pub from: String,
    pub to: Vec<String>,
    pub text: String,
    pub over_tls: bool,
    /// User and password.
    pub login: Option<(String, String)>,
}

/// Serves as long as the test's runtime lives.
pub struct Smtp {
    address: SocketAddr,
    certificate: Option<String>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    received: Mutex<Vec<Received>>,
    /// So many of the next mails are put off with 451.
    refusals: AtomicUsize,
    /// Whether mails wait for their answer.
    is_slow: watch::Sender<bool>,
}

impl Smtp {
    /// Without TLS.
    pub async fn start() -> Self {
        Self::serve(None).await
    }

    /// Offers STARTTLS, by a fresh certificate for localhost.
    pub async fn with_starttls() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a valid name");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("rcgen makes a pair");
        Self::serve(Some((TlsAcceptor::from(Arc::new(config)), made.cert.pem()))).await
    }

    async fn serve(tls: Option<(TlsAcceptor, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (acceptor, certificate) = tls.unzip();
        let shared = Arc::<Shared>::default();
        let by_all = shared.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, shared) = (acceptor.clone(), by_all.clone());
                // Clients that break off are their own affair.
                tokio::spawn(async move { converse(stream, acceptor, shared).await });
            }
        });
        Self { address, certificate, shared }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What clients must trust, in PEM.
    pub fn certificate(&self) -> &str {
        self.certificate.as_deref().expect("only with STARTTLS")
    }

    pub fn put_off(&self, mails: usize) {
        self.shared.refusals.store(mails, Ordering::SeqCst);
    }

    /// From now on, or no longer, mails are read and then get no answer.
    pub fn be_slow(&self, is_slow: bool) {
        self.shared.is_slow.send_replace(is_slow);
    }

    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().expect("no holder panics").clone()
    }
}

async fn converse(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    shared: Arc<Shared>,
) -> std::io::Result<()> {
    let mut plain = Conversation { stream: BufReader::new(stream), mail: Received::default(), shared };
    plain.say("220 localhost ESMTP").await?;
    if !plain.listen(acceptor.is_some()).await? {
        return Ok(());
    }
    let Some(acceptor) = acceptor else { return Ok(()) };
    let stream = acceptor.accept(plain.stream.into_inner()).await?;
    let mail = Received { over_tls: true, ..Received::default() };
    let mut secure = Conversation { stream: BufReader::new(stream), mail, shared: plain.shared };
    secure.listen(false).await.map(drop)
}

struct Conversation<S> {
    stream: BufReader<S>,
    mail: Received,
    shared: Arc<Shared>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conversation<S> {
    /// `true` when the client wants to go on over TLS.
    async fn listen(&mut self, offers_tls: bool) -> std::io::Result<bool> {
        loop {
            let Some(line) = self.line().await? else { return Ok(false) };
            let upper = line.to_ascii_uppercase();
            if upper.starts_with("EHLO") {
                self.say("250-localhost").await?;
                if offers_tls {
                    self.say("250-STARTTLS").await?;
                }
                self.say("250 AUTH PLAIN").await?;
            } else if upper == "STARTTLS" && offers_tls {
                self.say("220 go ahead").await?;
                return Ok(true);
            } else if let Some(login) = line.strip_prefix("AUTH PLAIN ") {
                self.mail.login = login_of(login);
                self.say("235 welcome").await?;
            } else if upper.starts_with("MAIL FROM:") {
                self.mail.from = address(&line);
                self.say("250 ok").await?;
            } else if upper.starts_with("RCPT TO:") {
                self.mail.to.push(address(&line));
                self.say("250 ok").await?;
            } else if upper == "DATA" {
                self.take_mail().await?;
            } else if upper == "QUIT" {
                self.say("221 bye").await?;
                return Ok(false);
            } else {
                self.say("500 what?").await?;
            }
        }
    }

    async fn take_mail(&mut self) -> std::io::Result<()> {
        self.say("354 end with a full stop").await?;
        while let Some(line) = self.line().await?.filter(|line| line != ".") {
            self.mail.text.push_str(line.strip_prefix('.').unwrap_or(&line));
            self.mail.text.push('\n');
        }
        self.shared.is_slow.subscribe().wait_for(|is_slow| !is_slow).await.expect("it is never dropped");
        let refusals = &self.shared.refusals;
        if refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return self.say("451 later").await;
        }
        self.shared.received.lock().expect("no holder panics").push(self.mail.clone());
        self.say("250 taken").await
    }

    async fn line(&mut self) -> std::io::Result<Option<String>> {
        let mut line = String::new();
        let length = self.stream.read_line(&mut line).await?;
        Ok((length > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned()))
    }

    async fn say(&mut self, line: &str) -> std::io::Result<()> {
        self.stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).await?;
        self.stream.get_mut().flush().await
    }
}

fn address(line: &str) -> String {
    let rest = line.split_once('<').map_or("", |(_, rest)| rest);
    rest.split('>').next().unwrap_or_default().to_owned()
}

/// RFC 4616: identities and password between NULs.
fn login_of(encoded: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let mut parts = text.split('\0').skip(1).map(str::to_owned);
    Some((parts.next()?, parts.next()?))
}
