use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::Jwk;
use serde_json::{Value, json};
use tokio_util::sync::DropGuard;

use super::*;
use crate::http::{ListenAddr, Listener, serve};
use crate::secrets::Secrets;

const NOW: Duration = Duration::from_secs(1_700_000_000);
const KEY: &str = "test-key-of-thirty-two-bytes-or-more";
const OLD_KEY: &str = "old-test-key-of-thirty-two-bytes-or-more";

/// A key pair of an identity provider.
struct Provider {
    kid: &'static str,
    algorithm: Algorithm,
    key: EncodingKey,
}

static RSA: LazyLock<Provider> = LazyLock::new(|| {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let der = STANDARD.encode(der.as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n");
    let key = EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap();
    Provider { kid: "rsa-1", algorithm: Algorithm::RS256, key }
});

static ECDSA: LazyLock<Provider> = LazyLock::new(|| {
    let random = SystemRandom::new();
    let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let key = EncodingKey::from_ec_der(der.as_ref());
    Provider { kid: "ec-1", algorithm: Algorithm::ES256, key }
});

static ED25519: LazyLock<Provider> = LazyLock::new(|| ed25519("ed-1"));

fn ed25519(kid: &'static str) -> Provider {
    let der = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).unwrap();
    Provider { kid, algorithm: Algorithm::EdDSA, key: EncodingKey::from_ed_der(der.as_ref()) }
}

impl Provider {
    fn jwk(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.kid.to_owned());
        serde_json::to_value(jwk).unwrap()
    }

    fn token(&self) -> String {
        self.sign(&json!({ "alg": self.algorithm, "kid": self.kid }), &claims())
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = crypto::sign(message.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }
}

fn shared(key: &str) -> Provider {
    let key = EncodingKey::from_secret(key.as_bytes());
    Provider { kid: "none", algorithm: Algorithm::HS256, key }
}

fn encode(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

fn claims() -> Value {
    let exp = NOW.as_secs() + 600;
    json!({ "sub": "ana", "exp": exp, "iss": "us", "aud": ["signal"], "room": "demo" })
}

fn claims_with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn hs256() -> Value {
    json!({ "alg": "HS256", "typ": "JWT" })
}

fn key_file(providers: &[&Provider]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let keys: Vec<_> = providers.iter().map(|provider| provider.jwk()).collect();
    std::fs::write(file.path(), json!({ "keys": keys }).to_string()).unwrap();
    file
}

/// A verifier with shared keys and public ones, an issuer and an audience.
fn verifier() -> Verifier {
    let file = key_file(&[&RSA, &ECDSA, &ED25519]);
    Verifier::new(TokenSettings {
        secret: Some(SecretSource::fixed(Secrets::parse(&format!("{KEY}\n{OLD_KEY}")).unwrap())),
        jwks_file: Some(file.path().to_owned()),
        issuer: Some("us".into()),
        audience: Some("signal".into()),
        ..TokenSettings::default()
    })
    .unwrap()
}

#[test]
fn a_token_of_every_accepted_kind_is_verified() {
    let verifier = verifier();
    for provider in [&*RSA, &*ECDSA, &*ED25519, &shared(KEY), &shared(OLD_KEY)] {
        let claims = verifier.verify(&provider.token(), NOW).unwrap();
        assert_eq!(claims.sub, "ana");
        assert!(claims.may_enter("demo"));
    }
}

#[test]
fn a_minted_token_is_verified() {
    let mut claims = Claims::new("ana", NOW.as_secs() + 60);
    (claims.iss, claims.aud) = (Some("us".into()), vec!["signal".into()]);
    assert_eq!(verifier().verify(&mint(&claims, KEY.as_bytes()), NOW).unwrap(), claims);
}

#[test]
fn a_forged_signature_is_refused_by_name() {
    let verifier = verifier();
    let sign = |header: &Value| shared(KEY).sign(header, &claims());
    let good = shared(KEY).token();
    let (message, _) = good.rsplit_once('.').unwrap();
    let public = RSA.jwk()["n"].as_str().unwrap().to_owned();
    let unsigned = |alg: &str| format!("{}.{}.", encode(&json!({"alg": alg})), encode(&claims()));
    for (what, token, expected) in [
        ("no token", String::new(), TokenError::Malformed),
        ("two parts", message.to_owned(), TokenError::Malformed),
        ("four parts", format!("{good}.x"), TokenError::Malformed),
        ("no base64", format!("!{good}"), TokenError::Malformed),
        (
            "too long",
            "A".repeat(MAX_TOKEN_BYTES + 1),
            TokenError::TooLong { bytes: MAX_TOKEN_BYTES + 1 },
        ),
        ("empty signature", format!("{message}."), TokenError::Signature),
        ("cut signature", good[..good.len() - 4].to_owned(), TokenError::Signature),
        ("wrong key", shared("another key, thirty-two bytes long").token(), TokenError::Signature),
        ("alg none", unsigned("none"), TokenError::Algorithm),
        ("alg None", unsigned("None"), TokenError::Algorithm),
        ("alg HS512", sign(&json!({"alg": "HS512"})), TokenError::Algorithm),
        ("HS256 with the public key", shared(&public).token(), TokenError::Signature),
        ("crit", sign(&json!({"alg": "HS256", "crit": ["b64"]})), TokenError::Critical),
        ("crit null", sign(&json!({"alg": "HS256", "crit": null})), TokenError::Critical),
        ("kid no text", sign(&json!({"alg": "HS256", "kid": 7})), TokenError::Malformed),
        (
            "embedded key",
            ed25519("x").sign(&json!({"alg": "EdDSA", "jwk": ed25519("x").jwk()}), &claims()),
            TokenError::Signature,
        ),
        ("unknown kid", ed25519("other").token(), TokenError::UnknownKey),
        ("another's kid", ed25519("ed-1").token(), TokenError::Signature),
        (
            "ES256 with the RSA kid",
            ECDSA.sign(&json!({"alg": "ES256", "kid": "rsa-1"}), &claims()),
            TokenError::Algorithm,
        ),
    ] {
        assert_eq!(verifier.verify(&token, NOW).unwrap_err(), expected, "{what}");
    }
}

#[test]
fn hs256_is_refused_where_only_public_keys_are_configured() {
    let file = key_file(&[&RSA]);
    let settings =
        TokenSettings { jwks_file: Some(file.path().to_owned()), ..TokenSettings::default() };
    let verifier = Verifier::new(settings).unwrap();
    let public = RSA.jwk()["n"].as_str().unwrap().to_owned();
    assert_eq!(verifier.verify(&shared(&public).token(), NOW), Err(TokenError::Algorithm));
}

#[test]
fn without_keys_every_token_is_refused() {
    let verifier = Verifier::new(TokenSettings::default()).unwrap();
    assert!(!verifier.has_keys());
    for provider in [&shared(KEY), &*RSA] {
        assert_eq!(verifier.verify(&provider.token(), NOW), Err(TokenError::Algorithm));
    }
}

#[test]
fn times_count_with_a_leeway_of_thirty_seconds() {
    let (verifier, now) = (verifier(), NOW.as_secs());
    for (claim, value, expected) in [
        ("exp", now - 29, Ok(())),
        ("exp", now - 30, Err(TokenError::Expired)),
        ("exp", 0, Err(TokenError::Expired)),
        ("nbf", now + 30, Ok(())),
        ("nbf", now + 31, Err(TokenError::NotYetValid)),
    ] {
        let token = shared(KEY).sign(&hs256(), &claims_with(claim, json!(value)));
        assert_eq!(verifier.verify(&token, NOW).map(drop), expected, "{claim} {value}");
    }
    assert!(TokenError::Expired.is_expired() && !TokenError::Signature.is_expired());
}

#[test]
fn wrong_claims_are_refused_by_name() {
    let verifier = verifier();
    let claim = |claims: &Value| verifier.verify(&shared(KEY).sign(&hs256(), claims), NOW);
    for (name, value, expected) in [
        ("iss", json!("them"), "names one of 4 bytes, and not the text of JWT_ISSUER"),
        ("iss", json!(null), "names none, and not the text of JWT_ISSUER"),
        ("aud", json!("other"), "names 1, and not that of JWT_AUDIENCE"),
        ("aud", json!([]), "names 0, and not that of JWT_AUDIENCE"),
    ] {
        let refused = claim(&claims_with(name, value)).unwrap_err().to_string();
        assert!(refused.contains(name) && refused.ends_with(expected), "{refused}");
    }
    assert!(claim(&claims_with("aud", json!("signal"))).is_ok(), "a single audience");

    let soon = NOW.as_secs() + 60;
    for exp in [json!(soon.to_string()), json!(null), json!(u64::MAX)] {
        let refused = claim(&claims_with("exp", exp.clone())).unwrap_err();
        assert!(matches!(refused, TokenError::Claim { .. }), "exp {exp}: {refused:?}");
    }
    let mut without = claims();
    without.as_object_mut().unwrap().remove("exp");
    let missing = claim(&without).unwrap_err().to_string();
    assert_eq!(missing, "claim exp is missing; it must be a number of seconds since 1970");
}

#[test]
fn a_token_of_sixteen_kib_is_verified() {
    let groups = "g".repeat(MAX_TOKEN_BYTES * 3 / 4 - 200);
    let token = shared(KEY).sign(&hs256(), &claims_with("groups", json!(groups)));
    assert!((MAX_TOKEN_BYTES - 200..=MAX_TOKEN_BYTES).contains(&token.len()), "{}", token.len());
    assert_eq!(verifier().verify(&token, NOW).map(|claims| claims.sub), Ok("ana".to_owned()));
}

/// An identity provider on loopback with replaceable keys.
struct Identity {
    url: String,
    answer: Arc<Mutex<(StatusCode, String)>>,
    asked: Arc<AtomicUsize>,
    _serving: DropGuard,
}

impl Identity {
    async fn start(providers: &[&Provider]) -> Self {
        let answer = Arc::new(Mutex::new((StatusCode::OK, String::new())));
        let asked = Arc::new(AtomicUsize::new(0));
        let (answers, count) = (Arc::clone(&answer), Arc::clone(&asked));
        let router = Router::new().route(
            "/keys",
            get(async move || {
                count.fetch_add(1, Ordering::SeqCst);
                answers.lock().unwrap().clone()
            }),
        );
        let loopback: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let listener = Listener::bind(&ListenAddr::Tcp(loopback)).await.unwrap();
        let url = format!("http://{}/keys", listener.address());
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, router, stop.clone()));
        let identity = Self { url, answer, asked, _serving: stop.drop_guard() };
        identity.publish(providers);
        identity
    }

    fn publish(&self, providers: &[&Provider]) {
        let keys: Vec<_> = providers.iter().map(|provider| provider.jwk()).collect();
        *self.answer.lock().unwrap() = (StatusCode::OK, json!({ "keys": keys }).to_string());
    }

    fn verifier(&self) -> (Arc<Verifier>, DropGuard) {
        let jwks_url = Some(self.url.clone());
        let settings = TokenSettings { jwks_url, ..TokenSettings::default() };
        let verifier = Arc::new(Verifier::new(settings).unwrap());
        let stop = CancellationToken::new();
        tokio::spawn(Arc::clone(&verifier).refresh(stop.clone()));
        (verifier, stop.drop_guard())
    }
}

#[tokio::test]
async fn a_rotated_key_is_fetched_once_when_its_kid_is_first_seen() {
    let (old, new) = (ed25519("old"), ed25519("new"));
    let identity = Identity::start(&[&old]).await;
    let (verifier, _refreshing) = identity.verifier();
    assert!(verifier.verify_fresh(&old.token(), NOW).await.is_ok(), "waits for the first fetch");

    identity.publish(&[&new]);
    assert!(verifier.verify_fresh(&new.token(), NOW).await.is_ok());
    assert_eq!(verifier.verify(&old.token(), NOW), Err(TokenError::UnknownKey));
    for _ in 0..20 {
        let forged = ed25519("forged").token();
        assert_eq!(verifier.verify_fresh(&forged, NOW).await, Err(TokenError::UnknownKey));
    }
    assert_eq!(identity.asked.load(Ordering::SeqCst), 2, "forged tokens cause no more fetches");
}

#[tokio::test]
async fn keys_outlive_an_outage_of_their_provider() {
    let old = ed25519("old");
    let identity = Identity::start(&[&old]).await;
    let (verifier, _refreshing) = identity.verifier();
    assert!(verifier.verify_fresh(&old.token(), NOW).await.is_ok());

    *identity.answer.lock().unwrap() = (StatusCode::SERVICE_UNAVAILABLE, String::new());
    let unknown = verifier.verify_fresh(&ed25519("new").token(), NOW).await;
    assert_eq!(unknown, Err(TokenError::UnknownKey));
    assert_eq!(identity.asked.load(Ordering::SeqCst), 2);
    assert!(verifier.verify(&old.token(), NOW).is_ok());
}
