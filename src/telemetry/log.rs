//! The log on standard error: JSON lines. Standard output is for the access log and for what a command was
//! asked to print.

use tracing_subscriber::EnvFilter;

use crate::config::policy::LogLevel;

/// Sets what gets into the log.
pub struct Log {
    set: Box<dyn Fn(EnvFilter) + Send + Sync>,
    /// By `PORTCULLIS_LOG`, which goes before gateway.yaml.
    is_fixed: bool,
}

impl Log {
    pub fn start() -> Self {
        // At `debug` Pingora writes out requests and answers, tokens included (class 105): a mere
        // `debug` isn't meant for it.
        let quiet = "pingora=warn".parse().expect("a constant that is a directive");
        let chosen = EnvFilter::try_from_env("PORTCULLIS_LOG").map(|chosen| chosen.add_directive(quiet));
        let is_fixed = chosen.is_ok();
        let builder = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_env_filter(chosen.unwrap_or_else(|_| filter(LogLevel::Info)))
            .with_writer(std::io::stderr)
            .with_filter_reloading();
        let handle = builder.reload_handle();
        builder.init();
        // `Err` only once there is no log any more.
        let set = Box::new(move |filter| handle.reload(filter).unwrap_or_default());
        Self { set, is_fixed }
    }

    pub fn set_level(&self, level: LogLevel) {
        if !self.is_fixed {
            (self.set)(filter(level));
        }
    }
}

/// Libraries say at `info` what concerns nobody else.
fn filter(level: LogLevel) -> EnvFilter {
    EnvFilter::new(match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn,pingora_proxy=error,pingora_cache=error",
        LogLevel::Info => "info,pingora=warn,pingora_proxy=error,pingora_cache=error,sqlx=warn",
        LogLevel::Debug => {
            "info,portcullis=debug,pingora=warn,pingora_proxy=error,pingora_cache=error,sqlx=warn"
        }
    })
}
