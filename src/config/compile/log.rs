//! `log:`

use super::Compiler;
use crate::config::place::Place;
use crate::config::policy::{Log, LogLevel, Share};
use crate::config::raw;

impl Compiler<'_> {
    pub fn log(&mut self, raw: raw::Log, at: &Place<'_>) -> Log {
        Log {
            level: raw.level.unwrap_or(LogLevel::Info),
            allowed: self.share(at, "allowed", raw.allowed),
            denied: self.share(at, "denied", raw.denied),
        }
    }

    /// All, if nothing is said.
    pub fn share(&mut self, at: &Place<'_>, key: &str, text: Option<String>) -> Share {
        let Some(text) = text else { return Share::ALL };
        share(&text).unwrap_or_else(|message| {
            self.problems.error(&at.key(key), message);
            Share::ALL
        })
    }
}

/// `all`, `none`, `1/100`.
fn share(text: &str) -> Result<Share, String> {
    match text {
        "all" => return Ok(Share::ALL),
        "none" => return Ok(Share::NONE),
        _ => {}
    }
    let many = text.strip_prefix("1/").and_then(|many| many.parse().ok()).filter(|many| *many > 0);
    many.map(Share::one_in).ok_or_else(|| format!("{text:?} isn't a share; write `all`, `none` or `1/100`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_all_none_or_one_in_so_many() {
        let taken = |text: &str| {
            let share = share(text).unwrap();
            (0..1000_u64).filter(|number| share.takes(|| *number)).count()
        };

        assert_eq!(["all", "none", "1/1", "1/100"].map(taken), [1000, 0, 1000, 10]);
        for wrong in ["", "1", "0.1", "10%", "2/100", "1/0", "1/-1", "1/99999999999"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }
}
