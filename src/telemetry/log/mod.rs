//! The log on standard error: JSON lines. Standard output is for the access log and for what a command was
//! asked to print.

mod line;

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
        let quiet = ["pingora=warn", IN_ORDINARY_USE]
            .map(|directive| directive.parse().expect("a constant that is a directive"));
        let chosen = EnvFilter::try_from_env("PORTCULLIS_LOG")
            .map(|chosen| quiet.into_iter().fold(chosen, EnvFilter::add_directive));
        let is_fixed = chosen.is_ok();
        let builder = tracing_subscriber::fmt()
            .event_format(line::Line)
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

/// Pingora's connector says ERROR when an upstream has closed an idle connection, and goes on with another one.
const IN_ORDINARY_USE: &str = "pingora_core::connectors=off";

/// Libraries say at `info` what concerns nobody else. What clients do is in the access log.
fn filter(level: LogLevel) -> EnvFilter {
    let directives = match level {
        LogLevel::Error => "error,pingora_proxy=off,pingora_core::protocols=off",
        LogLevel::Warn => "warn,pingora_proxy=off,pingora_cache=error,pingora_core::protocols=off",
        LogLevel::Info => {
            "info,pingora=warn,pingora_proxy=off,pingora_cache=error,pingora_core::protocols=off,sqlx=warn"
        }
        LogLevel::Debug => {
            "info,portcullis=debug,pingora=warn,pingora_proxy=error,pingora_cache=error,sqlx=warn"
        }
    };
    EnvFilter::new(format!("{directives},{IN_ORDINARY_USE}"))
}
