//! Signatures of messages: Standard Webhooks 1.0.0, "Verifying webhook authenticity", scheme `v1`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use service_kit::secrets::Secrets;
use sha2::Sha256;

/// How a serialized secret begins.
const PREFIX: &str = "whsec_";

/// Bytes that a secret has, as the specification says.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=512;

/// Why a line is no secret. The text never quotes it.
#[expect(missing_docs, reason = "the texts say it all")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookKeyError {
    #[error(
        "secret {number} does not begin with whsec_: write whsec_ and 24 to 512 random bytes as base64"
    )]
    Prefix { number: usize },
    #[error("secret {number} is not base64 behind whsec_")]
    Base64 { number: usize },
    #[error("secret {number} has {bytes} bytes: the specification says 24 to 512")]
    Length { number: usize, bytes: usize },
}

/// Checks every secret of a file.
///
/// # Errors
/// [`WebhookKeyError`] of the first one that is not usable.
pub fn check_keys(secrets: &Secrets) -> Result<(), WebhookKeyError> {
    secrets.all().enumerate().try_for_each(|(at, line)| key(line, at + 1).map(drop))
}

fn key(line: &[u8], number: usize) -> Result<Vec<u8>, WebhookKeyError> {
    let text = line.strip_prefix(PREFIX.as_bytes()).ok_or(WebhookKeyError::Prefix { number })?;
    let key = STANDARD.decode(text).map_err(|_| WebhookKeyError::Base64 { number })?;
    let bytes = key.len();
    if KEY_BYTES.contains(&bytes) {
        Ok(key)
    } else {
        Err(WebhookKeyError::Length { number, bytes })
    }
}

/// Signs a message with every secret, so that the receiver may go over from one to the next at its own time. Secrets that are
/// not usable, since their file has changed, sign nothing; `None` if no other is there.
pub(super) fn sign(secrets: &Secrets, id: &str, timestamp: u64, body: &str) -> Option<String> {
    let keys = secrets.all().enumerate().filter_map(|(at, line)| key(line, at).ok());
    let signatures: Vec<String> = keys.map(|key| sign_with(&key, id, timestamp, body)).collect();
    (!signatures.is_empty()).then(|| signatures.join(" "))
}

fn sign_with(key: &[u8], id: &str, timestamp: u64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body.as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    /// The vector of the reference libraries (standard-webhooks/libraries, "sign function works").
    #[test]
    fn a_message_is_signed_as_the_reference_libraries_sign_it() {
        let secrets = Secrets::parse(SECRET).unwrap();
        let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", r#"{"test": 2432232314}"#);
        let signed = sign(&secrets, id, 1_614_265_330, body).unwrap();
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn every_secret_of_a_file_signs_the_first_one_first() {
        let other = format!("whsec_{}", STANDARD.encode([7; 32]));
        let one = Secrets::parse(SECRET).unwrap();
        let both = Secrets::parse(&format!("{other}\n{SECRET}\n")).unwrap();
        let signed = sign(&both, "id", 1, "{}").unwrap();
        let (first, second) = signed.split_once(' ').unwrap();
        assert_eq!(Some(second), sign(&one, "id", 1, "{}").as_deref());
        assert!(first.starts_with("v1,") && first != second, "{signed}");
    }

    #[test]
    fn a_secret_of_another_form_is_refused_by_its_number() {
        let error = |line: &str| {
            check_keys(&Secrets::parse(&format!("{SECRET}\n{line}")).unwrap()).unwrap_err()
        };
        let hex = "0123456789abcdef0123456789abcdef";
        assert_eq!(error(hex), WebhookKeyError::Prefix { number: 2 });
        assert_eq!(error(&format!("whsec_{hex}!")), WebhookKeyError::Base64 { number: 2 });
        let long = format!("whsec_{}", STANDARD.encode([7; 513]));
        assert_eq!(error(&long), WebhookKeyError::Length { number: 2, bytes: 513 });
    }
}
