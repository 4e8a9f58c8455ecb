//! The bytes that one subject may relay per time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use service_kit::settings::{parse_duration, parse_size};

/// Bytes per window, written `10GiB/24h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// To and from the client, added.
    pub bytes: u64,
    /// Length of the window; windows start at multiples of it since 1970.
    pub per: Duration,
}

impl FromStr for Budget {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const HOW: &str = "is not a budget: write 10GiB/24h";
        let (bytes, per) = text.split_once('/').ok_or(HOW)?;
        let bytes = parse_size(bytes.trim()).map_err(|_| HOW)? as u64;
        let per = parse_duration(per.trim()).map_err(|_| HOW)?;
        (bytes > 0 && per >= Duration::from_secs(1)).then_some(Self { bytes, per }).ok_or(HOW)
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}B/{}s", self.bytes, self.per.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_a_size_in_a_time() {
        let budget: Budget = "10GiB/24h".parse().unwrap();
        assert_eq!((budget.bytes, budget.per.as_secs()), (10 << 30, 86_400));
        for text in ["", "10GiB", "10GiB/", "0B/24h", "1GiB/0s", "x/24h", "1GiB/x"] {
            assert!(text.parse::<Budget>().is_err(), "{text}");
        }
    }
}
