//! JSON web key sets (RFC 7517 §5).

use std::collections::HashMap;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;

/// Bound on a document.
pub(super) const MAX_BYTES: usize = 256 << 10;
/// Bound on the keys of a document.
const MAX_KEYS: usize = 64;

/// Public keys by `kid`.
#[derive(Default)]
pub(super) struct KeySet(HashMap<String, PublicKey>);

/// A public key and the only algorithm it verifies.
///
/// The algorithm follows from the key, never from the token: otherwise a token signed with HS256
/// and a public key as the secret would verify.
pub(super) struct PublicKey {
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

impl KeySet {
    /// Parses a document. Skips keys that cannot verify tokens: encryption keys, other families and
    /// curves, keys without a usable `kid`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("the key set has more than {MAX_BYTES} bytes"));
        }
        let document: Document = serde_json::from_str(text)
            .map_err(|error| format!("the key set does not parse: {error}"))?;
        if document.keys.len() > MAX_KEYS {
            return Err(format!("the key set has more than {MAX_KEYS} keys"));
        }
        let keys: HashMap<_, _> = document.keys.into_iter().filter_map(public_key).collect();
        if keys.is_empty() {
            return Err("the key set has no RS256, ES256 or EdDSA key with a `kid`".to_owned());
        }
        Ok(Self(keys))
    }

    pub(super) fn get(&self, kid: &str) -> Option<&PublicKey> {
        self.0.get(kid)
    }
}

fn public_key(value: serde_json::Value) -> Option<(String, PublicKey)> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let algorithm = algorithm(&jwk.algorithm)?;
    let agrees = jwk.common.key_algorithm.is_none_or(|alg| alg == KeyAlgorithm::from(algorithm));
    let signs = jwk.common.public_key_use.as_ref().is_none_or(|u| *u == PublicKeyUse::Signature);
    let kid = jwk.common.key_id.clone().filter(|kid| is_kid(kid))?;
    if !agrees || !signs {
        return None;
    }
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    Some((kid, PublicKey { algorithm, key }))
}

fn algorithm(parameters: &AlgorithmParameters) -> Option<Algorithm> {
    match parameters {
        AlgorithmParameters::RSA(_) => Some(Algorithm::RS256),
        AlgorithmParameters::EllipticCurve(p) if p.curve == EllipticCurve::P256 => {
            Some(Algorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(p) if p.curve == EllipticCurve::Ed25519 => {
            Some(Algorithm::EdDSA)
        }
        _ => None,
    }
}

/// Returns whether a text is a valid `kid`: 1–64 bytes of `A–Z a–z 0–9 . _ -`.
pub(super) fn is_kid(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    // The Ed25519 key of RFC 8037 appendix A.2.
    const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    fn ed25519(more: &str) -> String {
        format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{X}"{more}}}"#)
    }

    fn set(keys: &[String]) -> Result<KeySet, String> {
        KeySet::parse(&format!(r#"{{"keys":[{}]}}"#, keys.join(",")))
    }

    #[test]
    fn a_key_is_found_by_its_kid_and_good_for_one_algorithm() {
        let keys = set(&[ed25519(r#","kid":"a.b_c-1""#)]).unwrap();
        assert_eq!(keys.get("a.b_c-1").unwrap().algorithm, Algorithm::EdDSA);
        assert!(keys.get("other").is_none());
    }

    #[test]
    fn keys_that_are_not_for_us_are_passed_over() {
        let good = ed25519(r#","kid":"good""#);
        let others = [
            ed25519(""),
            ed25519(r#","kid":"../etc/passwd""#),
            ed25519(r#","kid":"enc","use":"enc""#),
            ed25519(r#","kid":"rs","alg":"RS256""#),
            r#"{"kty":"oct","k":"c2VjcmV0","kid":"hmac"}"#.to_owned(),
            r#"{"kty":"new","kid":"future"}"#.to_owned(),
        ];
        for other in others {
            assert!(set(&[good.clone(), other.clone()]).unwrap().0.len() == 1, "{other}");
            assert!(set(&[other]).is_err());
        }
    }

    #[test]
    fn a_set_too_large_is_refused() {
        let many: Vec<_> = (0..=MAX_KEYS).map(|n| ed25519(&format!(r#","kid":"k{n}""#))).collect();
        assert!(set(&many).is_err());
        assert!(KeySet::parse(&" ".repeat(MAX_BYTES + 1)).is_err());
    }
}
