//! The settings of webhooks, read and checked.

use std::time::Duration;

use ipnet::IpNet;
use service_kit::secrets::{SecretSource, SecretText, Secrets};
use service_kit::settings::Reader;

use super::endpoint::EndpointUrl;
use super::message::EventType;
use super::signature::check_keys;

/// Where and how back ends are told of events.
#[derive(Debug)]
pub struct WebhookSettings {
    /// The endpoints, each with what signs its messages.
    pub endpoints: Vec<(EndpointUrl, SecretSource)>,
    /// The events that are sent.
    pub events: Vec<EventType>,
    /// Networks besides the public internet that endpoints may be in.
    pub networks: Vec<IpNet>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// The first pause after a failed attempt.
    pub backoff: Duration,
    /// How old an event becomes before it is given up.
    pub give_up: Duration,
}

impl WebhookSettings {
    /// Reads the settings; `None`: there is no endpoint.
    pub fn read(r: &mut Reader<'_>) -> Option<Self> {
        let common = read_secret(r);
        let lines = r.secret_lines("webhook_urls");
        let mut events: Vec<EventType> = r.parse_list("webhook_events");
        let networks = r.parse_list("webhook_networks");
        let (timeout, backoff) = (r.duration("webhook_timeout"), r.duration("webhook_backoff"));
        let give_up = r.duration("webhook_give_up");
        if timeout.is_zero() || timeout > Duration::from_secs(60) {
            r.fault("webhook_timeout", "is out of bounds: write 1ms to 60s");
        }
        if backoff.is_zero() {
            r.fault("webhook_backoff", "is too short: write 1ms or more");
        }
        let lines = lines?;
        if lines.is_empty() {
            r.fault("webhook_urls", "holds no endpoint: write one https:// URL per line");
        }
        if events.is_empty() {
            events = EventType::ALL.to_vec();
        }
        let endpoints = read_endpoints(r, lines.iter().map(SecretText::expose), common.as_ref());
        Some(Self { endpoints, events, networks, timeout, backoff, give_up })
    }
}

fn read_secret(r: &mut Reader<'_>) -> Option<SecretSource> {
    let secret = r.secrets("webhook_secret")?;
    if let Err(error) = check_keys(&secret.current()) {
        r.fault("webhook_secret", format!("is not usable: {error}"));
    }
    Some(secret)
}

fn read_endpoints<'a>(
    r: &mut Reader<'_>,
    lines: impl Iterator<Item = &'a str>,
    common: Option<&SecretSource>,
) -> Vec<(EndpointUrl, SecretSource)> {
    let mut endpoints: Vec<(EndpointUrl, SecretSource)> = Vec::new();
    for (at, line) in lines.enumerate() {
        let read = read_endpoint(line, common).and_then(|endpoint| {
            let is_double = endpoints.iter().any(|(url, _)| *url == endpoint.0);
            if is_double { Err("is there already".to_owned()) } else { Ok(endpoint) }
        });
        match read {
            Ok(endpoint) => endpoints.push(endpoint),
            // The line is not quoted: it may hold a secret.
            Err(what) => r.fault("webhook_urls", format!("has a line {} that {what}", at + 1)),
        }
    }
    endpoints
}

/// Reads `URL` or `URL SECRET …`.
fn read_endpoint(
    line: &str,
    common: Option<&SecretSource>,
) -> Result<(EndpointUrl, SecretSource), String> {
    let mut words = line.split_whitespace();
    let url: EndpointUrl = words.next().unwrap_or_default().parse()?;
    let own = words.collect::<Vec<_>>().join("\n");
    if own.is_empty() {
        let missing =
            "has no secret to sign with: set webhook_secret, or write whsec_… behind the URL";
        return Ok((url, common.cloned().ok_or(missing)?));
    }
    let secrets =
        Secrets::parse(&own).map_err(|error| format!("has an unusable secret: {error}"))?;
    check_keys(&secrets).map_err(|error| format!("has an unusable secret: {error}"))?;
    Ok((url, SecretSource::fixed(secrets)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn an_endpoint_has_a_secret_of_its_own_or_the_common_one() {
        let common = SecretSource::fixed(Secrets::parse(SECRET).unwrap());
        let (url, secrets) = read_endpoint("https://a.example/x", Some(&common)).unwrap();
        assert_eq!(
            (url.origin().as_str(), secrets.current().all().count()),
            ("https://a.example", 1)
        );
        let line = format!("https://a.example/x {SECRET} {SECRET}");
        assert_eq!(read_endpoint(&line, Some(&common)).unwrap().1.current().all().count(), 2);
        let error = read_endpoint("https://a.example/x", None).unwrap_err();
        assert!(error.starts_with("has no secret to sign with"), "{error}");
        let error = read_endpoint("https://a.example/x 0123456789abcdef0123456789abcdef", None);
        assert!(error.unwrap_err().contains("does not begin with whsec_"));
    }
}
