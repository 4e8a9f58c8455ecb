//! Tokens as strangers make them up, which nobody is let in with; and claims as an issuer could sign them by mistake,
//! which are refused or mean what the node makes of them.

#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use service_kit::secrets::{SecretSource, Secrets};
use service_kit::tokens::{LEEWAY, TokenSettings, Verifier};
use signal_node::session::Identity;
use tokio::time::Instant;

const KEY: &str = "a key that no input holds, and long enough to be one";
const NOW: Duration = Duration::from_secs(1_800_000_000);

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let keys = Secrets::parse(KEY).expect("a key");
    let secret = Some(SecretSource::fixed(keys));
    Verifier::new(TokenSettings { secret, ..TokenSettings::default() }).expect("a verifier")
});

fuzz_target!(|input: &[u8]| {
    if let Ok(text) = std::str::from_utf8(input) {
        assert!(VERIFIER.verify(text, NOW).is_err(), "somebody got in: {text}");
    }
    let Ok(claims) = VERIFIER.verify(&signed(input), NOW) else { return };
    assert!(Duration::from_secs(claims.exp) + LEEWAY >= NOW, "a token that had ended");
    assert!(claims.nbf.is_none_or(|from| Duration::from_secs(from) <= NOW + LEEWAY));
    if let Ok(identity) = Identity::holder(claims, NOW, Instant::now()) {
        let told: Value = serde_json::from_str(identity.stamp(None).get()).expect("JSON");
        assert!(told.is_object(), "what others learn of a member is an object");
        let _ = identity.may_enter(&"demo".parse().expect("a room"));
    }
});

/// A token whose claims are these bytes.
fn signed(claims: &[u8]) -> String {
    let message =
        [br#"{"alg":"HS256"}"#, claims].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    let key = EncodingKey::from_secret(KEY.as_bytes());
    let signature =
        crypto::sign(message.as_bytes(), &key, Algorithm::HS256).expect("HMAC takes any key");
    format!("{message}.{signature}")
}
