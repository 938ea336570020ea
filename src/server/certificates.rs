//! Which certificates the listeners serve: at the start, and after every reload.

use std::sync::Arc;

use super::StartError;
use crate::config::policy::Listen;
use crate::edition::Edition;
use crate::telemetry::Metrics;
use crate::tls::{Listeners, ServedCertificate};

/// The listeners of a gateway that starts.
pub fn listeners(listen: &Listen, metrics: &Metrics) -> Result<Arc<Listeners>, StartError> {
    let given = listen.certificates().map(|(address, certificate)| (address, certificate.cloned()));
    let listeners = Listeners::new(given).map_err(StartError::Tls)?;
    for certificate in listeners.certificates() {
        tell(&certificate, metrics);
    }
    Ok(Arc::new(listeners))
}

/// Lets them serve what this edition says. Connections that are open go on with what they have.
pub fn serve(edition: &Edition, listeners: &Listeners, metrics: &Metrics) {
    if let Some(secrets) = &edition.secrets {
        listeners.share_tickets(&secrets.tickets);
    }
    for certificate in listeners.renew(edition.policy.listen.certificates()) {
        tell(&certificate, metrics);
    }
}

fn tell(certificate: &ServedCertificate, metrics: &Metrics) {
    let ServedCertificate { listener, serial, not_after } = certificate;
    tracing::info!(%listener, serial, not_after = %not_after.to_rfc3339(), "serving a certificate");
    let end = metrics.certificate_expiry.with_label_values(&[&listener.to_string()]);
    end.set(not_after.timestamp());
}
