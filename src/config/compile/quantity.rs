//! Durations, sizes, rates, numbers and plain text.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::Compiler;
use crate::config::place::Place;

/// Longer spans are mistakes, and would overflow dates.
const MAX_DURATION: Duration = Duration::from_secs(3650 * 24 * 3600);

/// `15m`, `1h30m`, `250ms`, `0`.
pub fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let wrong = || format!("{text:?} isn't a duration; write it like 30s, 15m or 14d");
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() || text.is_empty() {
        let (number, after) = leading_number(rest).ok_or_else(wrong)?;
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let unit = match &after[..letters] {
            "" if rest == text => return Err(format!("{text} has no unit; write {text}s for seconds")),
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            "d" => Duration::from_secs(24 * 3600),
            _ => return Err(wrong()),
        };
        let part = u32::try_from(number).ok().and_then(|number| unit.checked_mul(number));
        total = part
            .and_then(|part| total.checked_add(part))
            .filter(|total| *total <= MAX_DURATION)
            .ok_or_else(|| format!("{text} is more than ten years"))?;
        rest = &after[letters..];
    }
    Ok(total)
}

/// `64KiB`, `10MB`, `4096`; in bytes.
pub fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} isn't a size; write it like 64KiB or 10MiB");
    let (number, unit) = leading_number(text).ok_or_else(wrong)?;
    let unit = match unit.trim_start() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit).filter(|bytes| *bytes <= 1 << 50).ok_or_else(|| format!("{text} is too large"))
}

/// `5/1m`: how many, in which time.
pub fn rate(text: &str) -> Result<(NonZeroU32, Duration), String> {
    let wrong = || format!("{text:?} isn't a rate; write it like 5/1m");
    let (count, window) = text.split_once('/').ok_or_else(wrong)?;
    let count: u32 = count.trim().parse().map_err(|_| wrong())?;
    let Some(count) = NonZeroU32::new(count) else {
        return Err("a rate of 0 would refuse every request".to_owned());
    };
    let window = window.trim();
    // `5/m` is how many people write it.
    let window = match window.starts_with(|c: char| c.is_ascii_alphabetic()) {
        true => duration(&format!("1{window}")).map_err(|_| wrong())?,
        false => duration(window)?,
    };
    if window.is_zero() {
        return Err(wrong());
    }
    if u128::from(count.get()) > window.as_micros() {
        return Err(format!("{text} is more than a million per second"));
    }
    Ok((count, window))
}

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..digits].parse().ok()?, &text[digits..]))
}

/// Each takes the mapping's place and the key's name; on a problem, says so and gives the default.
impl Compiler<'_> {
    pub fn duration(
        &mut self,
        at: &Place<'_>,
        key: &str,
        text: Option<String>,
        default: Duration,
    ) -> Duration {
        let Some(text) = text else {
            return default;
        };
        duration(&text).unwrap_or_else(|message| {
            self.problems.error(&at.key(key), message);
            default
        })
    }

    pub fn positive_duration(
        &mut self,
        at: &Place<'_>,
        key: &str,
        text: Option<String>,
        default: Duration,
    ) -> Duration {
        let duration = self.duration(at, key, text, default);
        if duration.is_zero() {
            self.problems.error(&at.key(key), "must be longer than 0");
            return default;
        }
        duration
    }

    pub fn size(
        &mut self,
        at: &Place<'_>,
        key: &str,
        text: Option<String>,
        default: u64,
        allowed: RangeInclusive<u64>,
    ) -> u64 {
        let Some(text) = text else {
            return default;
        };
        match size(&text) {
            Ok(bytes) if allowed.contains(&bytes) => return bytes,
            Ok(_) => self.problems.error(
                &at.key(key),
                format!("{text} is out of range: {} to {} bytes", allowed.start(), allowed.end()),
            ),
            Err(message) => self.problems.error(&at.key(key), message),
        }
        default
    }

    pub fn number(
        &mut self,
        at: &Place<'_>,
        key: &str,
        number: Option<u64>,
        default: u32,
        allowed: RangeInclusive<u32>,
    ) -> u32 {
        let Some(number) = number else {
            return default;
        };
        match u32::try_from(number) {
            Ok(number) if allowed.contains(&number) => number,
            _ => {
                let message = format!("{number} is out of range: {} to {}", allowed.start(), allowed.end());
                self.problems.error(&at.key(key), message);
                default
            }
        }
    }

    /// Text that isn't empty and holds no control characters.
    pub fn text(&mut self, at: &Place<'_>, key: &str, text: Option<String>, default: &str) -> String {
        let Some(text) = text else {
            return default.to_owned();
        };
        self.plain_text(&at.key(key), text).unwrap_or_else(|| default.to_owned())
    }

    pub fn plain_text(&mut self, at: &Place<'_>, text: String) -> Option<String> {
        if text.trim().is_empty() {
            self.problems.error(at, "must not be empty");
            return None;
        }
        if text.chars().any(char::is_control) {
            self.problems.error(at, "must not contain line breaks or control characters");
            return None;
        }
        Some(text)
    }

    /// A header's name in lower case (RFC 9110 §5.1).
    pub fn header_name(&mut self, at: &Place<'_>, name: &str) -> Option<String> {
        match http::HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) => Some(name.as_str().to_owned()),
            Err(_) => {
                self.problems.error(at, format!("{name:?} isn't the name of a header"));
                None
            }
        }
    }
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("15m"), Ok(Duration::from_secs(900)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        for text in
            ["", "m", "15", "15 m", "-1s", "1.5h", "15x", "1m5", "99999999999999999999s", "4000d", "é"]
        {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_in_bytes() {
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("10 MB"), Ok(10_000_000));
        assert_eq!(size("4096"), Ok(4096));
        for text in ["", "KiB", "1.5MiB", "-1", "10XB", "18446744073709551615GiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_are_a_count_in_a_window() {
        assert_eq!(rate("5/1m").map(|(count, window)| (count.get(), window.as_secs())), Ok((5, 60)));
        assert_eq!(rate("10/s").map(|(count, window)| (count.get(), window.as_secs())), Ok((10, 1)));
        for text in ["", "5", "5/", "/1m", "0/1m", "5/0s", "-5/1m", "2000000/1s", "5/1m/2", "x/1m"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
