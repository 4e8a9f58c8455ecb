//! Syntax of values: `20s`, `64KiB`, `100/s,burst=2000`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

/// Splits `20s` into number and unit.
fn split_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit))
}

/// Parses a duration: `500ms`, `20s`, `5m`, `24h` or `7d`.
///
/// # Errors
/// The end of a sentence that begins with the value: `is not a duration: write 20s or 500ms`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let milliseconds = split_unit(text).and_then(|(number, unit)| {
        let milliseconds: u64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        number.checked_mul(milliseconds)
    });
    milliseconds
        .map(Duration::from_millis)
        .ok_or_else(|| "is not a duration: write 20s or 500ms".to_owned())
}

/// Parses `65536`, `512B`, `64KiB`, `16MiB` or `2GiB` as bytes.
///
/// # Errors
/// The end of a sentence, as in [`parse_duration`].
pub fn parse_size(text: &str) -> Result<usize, String> {
    let bytes = split_unit(text).and_then(|(number, unit)| {
        let bytes: u64 = match unit {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        };
        usize::try_from(number.checked_mul(bytes)?).ok()
    });
    bytes.ok_or_else(|| "is not a size: write 64KiB or 16MiB".to_owned())
}

/// A rate limit: `count` per `interval`, with bursts of `burst`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Events per interval in the long run.
    pub count: NonZeroU32,
    /// A second, a minute or an hour.
    pub interval: Duration,
    /// Events at once after a pause; `count` unless given.
    pub burst: NonZeroU32,
}

/// Parses `30/m` or `100/s,burst=2000`.
impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_rate(text).ok_or_else(|| "is not a rate: write 30/m or 100/s,burst=2000".to_owned())
    }
}

fn parse_rate(text: &str) -> Option<Rate> {
    parse_rate_of(text, |count| count.parse().ok())
}

fn parse_rate_of(text: &str, amount: impl Fn(&str) -> Option<NonZeroU32>) -> Option<Rate> {
    let (rate, burst) = match text.split_once(',') {
        Some((rate, burst)) => (rate, Some(burst.trim().strip_prefix("burst=")?)),
        None => (text, None),
    };
    let (count, unit) = rate.trim().split_once('/')?;
    let count = amount(count)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    let burst = burst.map_or(Some(count), amount)?;
    Some(Rate { count, interval: Duration::from_secs(seconds), burst })
}

/// Parses a rate of bytes: `8MiB/s,burst=64MiB`.
pub(super) fn parse_byte_rate(text: &str) -> Result<Rate, String> {
    parse_rate_of(text, |text| u32::try_from(parse_size(text).ok()?).ok()?.try_into().ok())
        .ok_or_else(|| {
            "is not a rate of bytes: write 8MiB/s,burst=64MiB, each below 4GiB".to_owned()
        })
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.interval.as_secs() {
            1 => "s",
            60 => "m",
            _ => "h",
        };
        write!(f, "{}/{unit},burst={}", self.count, self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_carry_their_unit() {
        for (text, milliseconds) in
            [("500ms", 500), ("20s", 20_000), ("5m", 300_000), ("24h", 86_400_000), ("0s", 0)]
        {
            assert_eq!(
                parse_duration(text).unwrap(),
                Duration::from_millis(milliseconds),
                "{text}"
            );
        }
        for text in ["", "20", "s", "-5s", "1.5s", "20 s", "20x", "99999999999999999999s", "٣s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_count_in_powers_of_1024() {
        for (text, bytes) in [("64KiB", 65_536), ("16MiB", 16 << 20), ("10", 10), ("1B", 1)] {
            assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
        }
        for text in ["", "KiB", "64kb", "-1", "99999999999GiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_rate_prints_as_it_is_read() {
        let rate: Rate = "100/s,burst=2000".parse().unwrap();
        assert_eq!((rate.count.get(), rate.burst.get()), (100, 2000));
        assert_eq!(rate.to_string(), "100/s,burst=2000");
        let rate: Rate = "30/m".parse().unwrap();
        assert_eq!((rate.interval.as_secs(), rate.burst.get()), (60, 30));
        for text in ["", "30", "30/", "0/s", "30/d", "30/m,burst=0", "30/m,2", "-1/s"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
