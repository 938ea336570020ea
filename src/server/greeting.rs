//! What `serve` says on a terminal once it takes connections. Elsewhere its log is enough.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use super::status::Status;
use crate::config::policy::{Listen, ProxyListener};

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Must run in the office.
pub fn start(listen: &Listen, docs: Option<String>, status: Arc<Status>) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    let words = words(listen, docs.as_deref());
    tokio::spawn(async move {
        while !status.is_listening() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        eprintln!("{words}");
    });
}

fn words(listen: &Listen, docs: Option<&str>) -> String {
    let mut lines: Vec<String> =
        listen.proxy.iter().map(|listener| format!("listening on {}", url(listener))).collect();
    if let (Some(docs), Some(first)) = (docs, listen.proxy.first()) {
        lines.push(format!("  the auth API:  {}{docs}", url(first)));
    }
    lines.push(format!("  the console:   http://{}/console", listen.admin));
    lines.join("\n")
}

fn url(listener: &ProxyListener) -> String {
    let scheme = if listener.tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{}", listener.address)
}
