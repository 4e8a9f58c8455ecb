//! Whether endpoints can be reached, for `signal-node doctor`.

use super::endpoint::Endpoint;
use super::settings::WebhookSettings;

/// Asks every endpoint whether something answers there, without a message. Returns for each what may be shown of its URL, and the
/// status of the answer or what went wrong.
///
/// # Errors
/// If an HTTP client cannot be made.
pub async fn probe(
    settings: &WebhookSettings,
) -> Result<Vec<(String, Result<u16, String>)>, reqwest::Error> {
    let mut probed = Vec::with_capacity(settings.endpoints.len());
    for (url, secrets) in &settings.endpoints {
        let (url, secrets) = (url.clone(), secrets.clone());
        let endpoint = Endpoint::new(url, secrets, &settings.networks, settings.timeout)?;
        let answer = endpoint.probe().await;
        let answer = answer.map(|status| status.as_u16()).map_err(|error| error.to_string());
        probed.push((endpoint.origin, answer));
    }
    Ok(probed)
}
