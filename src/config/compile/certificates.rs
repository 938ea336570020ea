//! `tls:` of a listener: the certificate and its key, each as the path of a PEM file or as its content.

use std::sync::Arc;

use super::Compiler;
use crate::certificate::{Certificate, Fault, hold_authority};
use crate::clock::now;
use crate::config::place::Place;
use crate::config::policy::Policy;
use crate::config::raw;

/// Names the certificates to trust in place of the system's, as for OpenSSL.
const TRUSTED: &str = "SSL_CERT_FILE";
/// No system takes longer ones.
const MAX_PATH: usize = 4096;
/// Hosts that one warning names.
const MAX_NAMED: usize = 3;

/// A PEM text, and what to call it in a message.
struct Pem {
    name: String,
    text: String,
}

impl Compiler<'_> {
    /// The pair, after the TLS library has taken it: a listener that can't start is found here.
    pub fn tls(&mut self, raw: raw::Tls, at: &Place<'_>) -> Option<Arc<Certificate>> {
        let chain = self.pem(raw.cert, "CERTIFICATE", at, "cert");
        let key = self.pem(raw.key, "PRIVATE KEY", at, "key");
        let (chain, key) = (chain?, key?);
        match Certificate::read(&chain.text, &key.text) {
            Ok(certificate) => {
                for warning in certificate.facts.warnings(now()) {
                    self.problems.warning(&at.key("cert"), warning);
                }
                Some(Arc::new(certificate))
            }
            Err(Fault::Certificate(why)) => {
                self.problems.error(&at.key("cert"), format!("{}: {why}", chain.name));
                None
            }
            Err(Fault::Key(why)) => {
                self.problems.error(&at.key("key"), format!("{}: {why}", key.name));
                None
            }
        }
    }

    fn pem(&mut self, given: Option<String>, label: &str, at: &Place<'_>, key: &str) -> Option<Pem> {
        let Some(given) = given else {
            self.problems.missing(at, key, "TLS needs `cert` and `key`, both paths of PEM files");
            return None;
        };
        let place = at.key(key);
        let pem = if given.contains("-----BEGIN") {
            Pem { name: "the PEM text".to_owned(), text: given }
        } else if given.len() > MAX_PATH || given.contains(char::is_control) {
            self.problems
                .error(&place, format!("expected the path of a PEM file, or `{{ file: {key}.pem }}`"));
            return None;
        } else {
            match self.surroundings.file(&given) {
                Ok(text) => Pem { name: given, text },
                Err(reason) => {
                    self.problems.error(&place, format!("{given}: {reason}"));
                    return None;
                }
            }
        };
        if !pem.text.contains(&format!("{label}-----")) {
            self.problems.error(&place, format!("{} holds no PEM block `{label}`", pem.name));
            return None;
        }
        Some(pem)
    }

    /// The certificates that `SSL_CERT_FILE` names, if they can be used. The libraries that speak to upstreams and
    /// issuers read them by themselves.
    pub fn trusted_by_environment(&self) -> Option<String> {
        let path = self.surroundings.variable(TRUSTED).filter(|path| !path.is_empty())?;
        self.surroundings.file(&path).ok().filter(|text| hold_authority(text).is_ok())
    }

    /// Says what is wrong with them: the libraries would panic, or trust nothing without a word.
    pub fn check_trusted_by_environment(&mut self) {
        let Some(path) = self.surroundings.variable(TRUSTED).filter(|path| !path.is_empty()) else { return };
        let root = Place::Root;
        match self.surroundings.file(&path).and_then(|text| hold_authority(&text)) {
            Ok(true) => {}
            Ok(false) => {
                let message = "the file of SSL_CERT_FILE holds no authority's certificate; only servers with the \
                               very certificates in it are trusted";
                self.problems.warning(&root, message);
            }
            Err(why) => self.problems.error(&root, format!("the file of the variable SSL_CERT_FILE: {why}")),
        }
    }

    /// Hosts of routes that no listener has a certificate for.
    pub fn warn_of_uncovered_hosts(&mut self, policy: &Policy, at: &Place<'_>) {
        let served = || policy.listen.proxy.iter().filter_map(|listener| listener.tls.as_ref());
        let Some(first) = policy.listen.proxy.iter().position(|listener| listener.tls.is_some()) else {
            return;
        };
        let hosts = policy.routes.routes().iter().filter_map(|route| route.host.as_deref());
        let is_uncovered = |host: &&str| !served().any(|certificate| certificate.facts.covers(host));
        let mut uncovered: Vec<&str> = hosts.filter(is_uncovered).collect();
        uncovered.sort_unstable();
        uncovered.dedup();
        if uncovered.is_empty() {
            return;
        }
        let more = uncovered.len().saturating_sub(MAX_NAMED);
        uncovered.truncate(MAX_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let message = format!(
            "no certificate names {}{more}, which routes ask for; clients refuse the connection",
            uncovered.join(", ")
        );
        self.problems.warning(&at.key("proxy").item(first).key("tls").key("cert"), message);
    }
}
