//! How a Redis is spoken to: by anybody and in the clear, or over TLS with a password.

use std::sync::Arc;

use redis::{Client, TlsCertificates};
use tempfile::TempDir;

/// Of the operator, and of replicas; gateways have an account of their own.
const OPERATORS: &str = "operators-Jd8fQ2xW";
const GATEWAYS: &str = "gateways-Vb5kT9sZ";
const SENTINELS: &str = "sentinels-Hp3mC7yR";

#[derive(Clone, Default)]
pub struct Access {
    certificate: Option<Arc<Certificate>>,
    password: &'static str,
}

/// For 127.0.0.1, signed by itself.
pub struct Certificate {
    /// What clients trust.
    pub pem: String,
    folder: TempDir,
}

impl Certificate {
    pub fn generate() -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("the name is valid");
        let folder = tempfile::Builder::new().prefix("portcullis-redis-tls-").tempdir();
        let folder = folder.expect("the temporary folder is writable");
        let pem = made.cert.pem();
        std::fs::write(folder.path().join("cert.pem"), &pem).expect("the folder is new");
        std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).expect("the same");
        Self { pem, folder }
    }
}

impl Access {
    /// TLS only, and nobody gets in without a password: `gate` with access to our keys alone.
    pub fn secured() -> Self {
        Self { certificate: Some(Arc::new(Certificate::generate())), password: OPERATORS }
    }

    /// The same certificate, another password.
    pub fn of_sentinels(&self) -> Self {
        let password = if self.certificate.is_some() { SENTINELS } else { "" };
        Self { password, ..self.clone() }
    }

    /// What clients trust.
    pub fn ca(&self) -> &str {
        &self.certificate.as_ref().expect("it speaks TLS").pem
    }

    /// The configuration of a server, one directive each.
    pub fn directives(&self, port: u16) -> Vec<String> {
        let Some(certificate) = &self.certificate else { return vec![format!("port {port}")] };
        let folder = certificate.folder.path().display();
        let password = self.password;
        vec![
            "port 0".to_owned(),
            format!("tls-port {port}"),
            format!("tls-cert-file {folder}/cert.pem"),
            format!("tls-key-file {folder}/key.pem"),
            format!("tls-ca-cert-file {folder}/cert.pem"),
            "tls-auth-clients no".to_owned(),
            "tls-replication yes".to_owned(),
            format!("requirepass {password}"),
        ]
    }

    /// Of servers that hold data, beside the others.
    pub fn directives_of_data(&self) -> Vec<String> {
        if self.certificate.is_none() {
            return Vec::new();
        }
        vec![
            "tls-cluster yes".to_owned(),
            format!("masterauth {OPERATORS}"),
            format!("user gate on >{GATEWAYS} ~portcullis:* +@all"),
        ]
    }

    /// Of a sentinel, once it knows the master.
    pub fn directives_of_sentinel(&self, master: &str) -> Vec<String> {
        if self.certificate.is_none() {
            return Vec::new();
        }
        vec![
            format!("sentinel auth-pass {master} {OPERATORS}"),
            format!("sentinel sentinel-pass {SENTINELS}"),
        ]
    }

    /// For a gateway's URL, around what names the servers.
    pub fn url(&self, kind: &str, servers: &str) -> String {
        match self.certificate {
            None => format!("redis{kind}://{servers}"),
            Some(_) => format!("rediss{kind}://gate:{GATEWAYS}@{servers}"),
        }
    }

    /// For the end of a sentinels' URL.
    pub fn parameters(&self) -> String {
        self.certificate.as_ref().map_or(String::new(), |_| format!("?sentinel_password={SENTINELS}"))
    }

    /// An operator's.
    pub fn client(&self, address: std::net::SocketAddr) -> Client {
        let Some(certificate) = &self.certificate else {
            return Client::open(format!("redis://{address}")).expect("the URL is right");
        };
        let root_cert = Some(certificate.pem.clone().into_bytes());
        let url = format!("rediss://:{}@{address}", self.password);
        Client::build_with_tls(url, TlsCertificates { client_tls: None, root_cert })
            .expect("the URL is right")
    }
}
