//! Reads the expiry of a certificate, which rustls does not expose.

use std::str;

use time::{Date, Month, Time, UtcDateTime};

/// DER tags that occur before and in the validity (X.690 §8).
mod tag {
    pub(super) const UTC_TIME: u8 = 0x17;
    pub(super) const GENERALIZED_TIME: u8 = 0x18;
    /// `[0]` of RFC 5280 §4.1, around the version.
    pub(super) const VERSION: u8 = 0xA0;
}

/// Reads `notAfter` of a certificate in DER, in Unix seconds (RFC 5280 §4.1).
pub(super) fn not_after(certificate: &[u8]) -> Option<u64> {
    let (certificate, _) = Element::read(certificate)?;
    let (to_be_signed, _) = Element::read(certificate.content)?;
    let (first, after_first) = Element::read(to_be_signed.content)?;
    let mut rest = if first.tag == tag::VERSION { after_first } else { to_be_signed.content };
    // Skip serial number, algorithm and issuer.
    for _ in 0..3 {
        (_, rest) = Element::read(rest)?;
    }
    let (validity, _) = Element::read(rest)?;
    let (_not_before, rest) = Element::read(validity.content)?;
    let (not_after, _) = Element::read(rest)?;
    time(&not_after)
}

struct Element<'a> {
    tag: u8,
    content: &'a [u8],
}

impl<'a> Element<'a> {
    /// Splits the first element from the rest (X.690 §8.1).
    fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (&[tag, first], rest) = bytes.split_first_chunk()?;
        let (length, rest) = match first {
            0..=0x7F => (usize::from(first), rest),
            // The low bits count the length bytes that follow; no certificate needs more than four.
            0x81..=0x84 => {
                let (length, rest) = rest.split_at_checked(usize::from(first & 0x7F))?;
                (length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        Some((Self { tag, content }, rest))
    }
}

/// Reads a time: `YYMMDDHHMMSSZ` up to 2049, `YYYYMMDDHHMMSSZ` from then on (RFC 5280 §4.1.2.5).
fn time(element: &Element<'_>) -> Option<u64> {
    let text = str::from_utf8(element.content).ok()?.strip_suffix('Z')?;
    let (year, rest) = match element.tag {
        tag::UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: i32 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        tag::GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let two = |at: usize| rest.get(at..at + 2)?.parse::<u8>().ok();
    let month = Month::try_from(two(0)?).ok()?;
    let date = Date::from_calendar_date(year, month, two(2)?).ok()?;
    let time = Time::from_hms(two(4)?, two(6)?, two(8)?).ok()?;
    u64::try_from(UtcDateTime::new(date, time).unix_timestamp()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use service_kit::clock::rfc3339;

    fn certificate(year: i32, month: u8, day: u8) -> Vec<u8> {
        let mut params = CertificateParams::new(["relay.example.org".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, month, day);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_end_of_a_certificate_is_read_on_both_sides_of_2050() {
        for (year, month, day, text) in [
            (1999, 12, 31, "1999-12-31T00:00:00Z"),
            (2028, 2, 29, "2028-02-29T00:00:00Z"),
            (2049, 3, 1, "2049-03-01T00:00:00Z"),
            (2050, 1, 1, "2050-01-01T00:00:00Z"),
            (4096, 1, 1, "4096-01-01T00:00:00Z"),
        ] {
            let end = not_after(&certificate(year, month, day)).unwrap();
            assert_eq!(rfc3339(end), text);
        }
    }

    proptest! {
        #[test]
        fn a_date_that_was_printed_is_read_as_it_was(seconds in 0..253_402_300_800_u64) {
            let text = rfc3339(seconds).replace(['-', ':', 'T'], "");
            let element = Element { tag: tag::GENERALIZED_TIME, content: text.as_bytes() };
            prop_assert_eq!(time(&element), Some(seconds));
        }

        #[test]
        fn no_bytes_make_it_panic(at in 0_usize..200, bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = not_after(&bytes);
            let mut damaged = certificate(2030, 1, 1);
            damaged.splice(at.min(damaged.len()).., bytes);
            let _ = not_after(&damaged);
        }
    }
}
