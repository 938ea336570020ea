//! What a certificate says of itself, and what about it will make clients refuse it.

use std::net::IpAddr;

use chrono::{DateTime, TimeDelta};
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use crate::clock::Timestamp;

/// A certificate that ends within this is to be renewed.
const SOON: TimeDelta = TimeDelta::days(21);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// In upper-case hexadecimal, as `openssl x509 -serial` prints it.
    pub serial: String,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// The DNS names and addresses that it is good for.
    names: Vec<String>,
    /// The first certificate whose issuer isn't the next one, counted from one.
    broken_at: Option<usize>,
    /// Only the server's own certificate is there, and another one has issued it.
    lacks_issuer: bool,
}

impl Facts {
    /// Of the first certificate of the chain; all of them are parsed.
    pub fn read(chain: &[CertificateDer<'_>]) -> Result<Self, String> {
        let mut parsed = Vec::with_capacity(chain.len());
        for (index, certificate) in chain.iter().enumerate() {
            let (_, certificate) = parse_x509_certificate(certificate)
                .map_err(|_| format!("certificate {} is damaged", index + 1))?;
            parsed.push(certificate);
        }
        let own = parsed.first().ok_or("holds no certificate")?;
        let follows = |pair: &[X509Certificate<'_>]| match pair {
            [one, next] => one.issuer().as_raw() == next.subject().as_raw(),
            _ => true,
        };
        Ok(Self {
            serial: serial(own.raw_serial()),
            not_before: time(own.validity().not_before.timestamp()),
            not_after: time(own.validity().not_after.timestamp()),
            names: names(own),
            broken_at: parsed.windows(2).position(|pair| !follows(pair)).map(|at| at + 1),
            lacks_issuer: parsed.len() == 1 && own.issuer().as_raw() != own.subject().as_raw(),
        })
    }

    /// Whether clients accept it for this host.
    pub fn covers(&self, host: &str) -> bool {
        self.names.iter().any(|name| fits(name, host))
    }

    /// Why clients refuse it, or soon will.
    pub fn warnings(&self, now: Timestamp) -> Vec<String> {
        let end = self.not_after.format("%Y-%m-%d %H:%M UTC");
        let mut warnings = Vec::new();
        if now >= self.not_after {
            warnings.push(format!("the certificate expired on {end}; clients refuse it"));
        } else if now < self.not_before {
            let begin = self.not_before.format("%Y-%m-%d %H:%M UTC");
            warnings
                .push(format!("the certificate isn't valid before {begin}; clients refuse it until then"));
        } else if self.not_after - now < SOON {
            let days = (self.not_after - now).num_days();
            warnings.push(format!("the certificate ends on {end}, in {days} days; renew it"));
        }
        if self.names.is_empty() {
            warnings.push("the certificate has no subject alternative name; clients refuse it".to_owned());
        }
        if self.lacks_issuer {
            let message = "the certificate of its issuer is missing; clients that don't have it refuse the \
                           connection; append the intermediate certificate";
            warnings.push(message.to_owned());
        }
        if let Some(at) = self.broken_at {
            let message = format!(
                "certificate {} of the chain isn't the issuer of certificate {at}; write the server's own first, \
                 then its issuer, and so on",
                at + 1
            );
            warnings.push(message);
        }
        warnings
    }
}

/// The public key of a certificate, as a SubjectPublicKeyInfo.
pub fn public_key(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    Some(parsed.public_key().raw.to_vec())
}

/// Whether it may issue others; `None` if it can't be parsed.
pub fn is_authority(certificate: &CertificateDer<'_>) -> Option<bool> {
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    Some(parsed.is_ca())
}

fn serial(raw: &[u8]) -> String {
    // A leading zero only says that the number isn't negative.
    let digits = match raw {
        [0, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    };
    digits.iter().map(|byte| format!("{byte:02X}")).collect()
}

fn time(seconds: i64) -> Timestamp {
    DateTime::from_timestamp(seconds, 0).unwrap_or(Timestamp::MAX_UTC)
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None,
    };
    extension.value.general_names.iter().filter_map(name).collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// `*` stands for one label (RFC 6125 §6.4.3).
fn fits(name: &str, host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match name.strip_prefix("*.") {
        Some(domain) => host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == domain),
        None => name == host,
    }
}
