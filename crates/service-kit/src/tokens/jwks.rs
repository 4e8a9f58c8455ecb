//! JSON web key sets (RFC 7517 §5).

use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;

/// Bound on a document.
pub(super) const MAX_BYTES: usize = 256 << 10;
/// Bound on the keys of a document.
const MAX_KEYS: usize = 64;

/// The public keys of a document.
///
/// A `kid` is any text (RFC 7517 §4.5), only compared, and shared by keys of different types at times.
#[derive(Default)]
pub(super) struct KeySet {
    keys: Vec<PublicKey>,
    /// Keys of the document that cannot verify tokens.
    skipped: usize,
}

/// A public key and the only algorithm it verifies.
///
/// The algorithm follows from the key, never from the token: otherwise a token signed with HS256
/// and a public key as the secret would verify.
pub(super) struct PublicKey {
    kid: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

impl KeySet {
    /// Parses a document. Skips keys that cannot verify tokens: encryption keys, other families and curves. A document
    /// without keys is a set too: its provider has withdrawn them all.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("the key set has more than {MAX_BYTES} bytes"));
        }
        let document: Document = serde_json::from_str(text)
            .map_err(|error| format!("the key set does not parse: {error}"))?;
        if document.keys.len() > MAX_KEYS {
            return Err(format!("the key set has more than {MAX_KEYS} keys"));
        }
        let total = document.keys.len();
        let keys: Vec<_> = document.keys.into_iter().filter_map(public_key).collect();
        Ok(Self { skipped: total - keys.len(), keys })
    }

    /// Checks that not every key was skipped, which at the start is a mistake of the operator.
    pub(super) fn check_usable(&self) -> Result<(), String> {
        if self.keys.is_empty() && self.skipped > 0 {
            let skipped = self.skipped;
            return Err(format!(
                "none of its {skipped} keys is an RS256, ES256 or EdDSA key for signatures"
            ));
        }
        Ok(())
    }

    /// Returns how many keys verify tokens, and how many were skipped.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.keys.len(), self.skipped)
    }

    /// Returns the key with this `kid` for this algorithm. Without `kid`, the only key for the algorithm.
    pub(super) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<&PublicKey> {
        let mut fitting = self.keys.iter().filter(|key| key.algorithm == algorithm);
        match kid {
            Some(kid) => fitting.find(|key| key.kid.as_deref() == Some(kid)),
            None => fitting.next().filter(|_| fitting.next().is_none()),
        }
    }

    /// Returns whether a key for any algorithm has this `kid`.
    pub(super) fn has(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid.as_deref() == Some(kid))
    }
}

fn public_key(value: serde_json::Value) -> Option<PublicKey> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let algorithm = algorithm(&jwk.algorithm)?;
    let agrees = jwk.common.key_algorithm.is_none_or(|alg| alg == KeyAlgorithm::from(algorithm));
    let signs = jwk.common.public_key_use.as_ref().is_none_or(|u| *u == PublicKeyUse::Signature);
    let operations = jwk.common.key_operations.as_ref();
    let verifies = operations.is_none_or(|all| all.contains(&KeyOperations::Verify));
    if !agrees || !signs || !verifies {
        return None;
    }
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    Some(PublicKey { kid: jwk.common.key_id, algorithm, key })
}

#[expect(clippy::wildcard_enum_match_arm, reason = "any other key of a JWKS is not used")]
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
        for kid in ["a.b_c-1", "kbxEboFjTrF9NUaco1UzsY9LdPEXghei2viYpCCaALU=", "../x y", ""] {
            let keys = set(&[ed25519(&format!(r#","kid":{kid:?}"#))]).unwrap();
            assert!(keys.find(Some(kid), Algorithm::EdDSA).is_some(), "{kid}");
            assert!(keys.find(Some(kid), Algorithm::ES256).is_none() && keys.has(kid));
            assert!(keys.find(Some("other"), Algorithm::EdDSA).is_none() && !keys.has("other"));
        }
    }

    #[test]
    fn without_a_kid_the_only_key_for_the_algorithm_is_found() {
        let one = set(&[ed25519("")]).unwrap();
        assert!(one.find(None, Algorithm::EdDSA).is_some());
        assert!(one.find(None, Algorithm::RS256).is_none());
        let two = set(&[ed25519(""), ed25519(r#","kid":"b""#)]).unwrap();
        assert!(two.find(None, Algorithm::EdDSA).is_none());
    }

    #[test]
    fn keys_that_are_not_for_us_are_passed_over() {
        let good = ed25519(r#","kid":"good""#);
        let others = [
            ed25519(r#","kid":"enc","use":"enc""#),
            ed25519(r#","kid":"derive","key_ops":["deriveKey"]"#),
            ed25519(r#","kid":"rs","alg":"RS256""#),
            r#"{"kty":"oct","k":"c2VjcmV0","kid":"hmac"}"#.to_owned(),
            r#"{"kty":"new","kid":"future"}"#.to_owned(),
        ];
        for other in others {
            assert_eq!(set(&[good.clone(), other.clone()]).unwrap().counts(), (1, 1), "{other}");
            assert!(set(&[other]).unwrap().check_usable().is_err());
        }
        let empty = set(&[]).unwrap();
        assert!(empty.check_usable().is_ok() && empty.counts() == (0, 0));
    }

    #[test]
    fn a_set_too_large_is_refused() {
        let many: Vec<_> = (0..=MAX_KEYS).map(|n| ed25519(&format!(r#","kid":"k{n}""#))).collect();
        assert!(set(&many).is_err());
        assert!(KeySet::parse(&" ".repeat(MAX_BYTES + 1)).is_err());
    }
}
