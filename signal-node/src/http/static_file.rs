//! Files out of the binary, as HTTP caches want them: with an `ETag`, and compressed for clients that accept gzip.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;

use axum::http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use include_dir::{Dir, File};
use sha2::{Digest, Sha256};

/// Bytes of the digest in an `ETag`: two versions of one file differ in them for certain enough.
const DIGEST_BYTES: usize = 12;

/// The files of some folders by their path.
pub(super) struct StaticFiles(HashMap<&'static str, StaticFile>);

impl StaticFiles {
    /// Collects the files of `folders`; their names are disjoint.
    pub(super) fn of(folders: &[&'static Dir<'static>]) -> Self {
        let files = folders.iter().flat_map(|folder| folder.files());
        Self(files.filter_map(|file| Some((file.path().to_str()?, StaticFile::of(file)))).collect())
    }

    /// Finds the file at `path`.
    pub(super) fn get(&self, path: &str) -> Option<&StaticFile> {
        self.0.get(path)
    }
}

/// One file. Its compressed form is made at the first request for it, and kept.
pub(super) struct StaticFile {
    content_type: &'static str,
    digest: String,
    plain: Bytes,
    gzip: OnceLock<Bytes>,
}

impl StaticFile {
    fn of(file: &'static File<'static>) -> Self {
        Self::new(content_type(file.path()), Bytes::from_static(file.contents()))
    }

    /// Takes the text of a script.
    pub(super) fn script(text: Bytes) -> Self {
        Self::new(content_type(Path::new("script.js")), text)
    }

    fn new(content_type: &'static str, plain: Bytes) -> Self {
        let digest = URL_SAFE_NO_PAD.encode(&Sha256::digest(&plain)[..DIGEST_BYTES]);
        Self { content_type, digest, plain, gzip: OnceLock::new() }
    }

    /// Answers a request with these headers: the file in the encoding it accepts, or 304 if it has that already.
    pub(super) fn answer(&self, headers: &HeaderMap) -> Response {
        let gzip =
            accepts_gzip(headers).then(|| self.gzip.get_or_init(|| compress(&self.plain)).clone());
        // The two encodings are different bytes, so a strong validator has to differ too (RFC 9110 §8.8.3.3).
        let etag = format!("\"{}{}\"", self.digest, if gzip.is_some() { "-gzip" } else { "" });
        let known = is_known(headers, &etag);
        let validators = [(ETAG, etag), (VARY, ACCEPT_ENCODING.to_string())];
        if known {
            return (StatusCode::NOT_MODIFIED, validators).into_response();
        }
        let content_type = [(CONTENT_TYPE, self.content_type)];
        match gzip {
            Some(packed) => {
                let encoding = [(CONTENT_ENCODING, "gzip")];
                (validators, content_type, encoding, packed).into_response()
            }
            None => (validators, content_type, self.plain.clone()).into_response(),
        }
    }
}

fn compress(plain: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let packed = encoder.write_all(plain).and_then(|()| encoder.finish());
    packed.expect("writing to a Vec cannot fail").into()
}

/// Whether `If-None-Match` names the entity (RFC 9110 §13.1.2: `*`, or a list that is compared weakly).
fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    list(headers, &IF_NONE_MATCH)
        .any(|known| known == "*" || known.trim_start_matches("W/") == etag)
}

/// Whether `Accept-Encoding` allows gzip (RFC 9110 §12.5.3): its own weight counts before that of `*`.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let weight = |coding: &str| {
        list(headers, &ACCEPT_ENCODING).find_map(|item| {
            let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
            name.trim().eq_ignore_ascii_case(coding).then(|| quality(parameters))
        })
    };
    weight("gzip").or_else(|| weight("*")).is_some_and(|quality| quality > 0.0)
}

/// Reads `q=0.5`; without it the weight is 1, and one that is no number counts as a refusal.
fn quality(parameters: &str) -> f32 {
    match parameters.trim().split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("q") => {
            value.trim().parse().unwrap_or(0.0)
        }
        _ => 1.0,
    }
}

/// The items of a comma-separated header, over all its lines.
fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines =
        headers.get_all(name).into_iter().filter_map(|value: &HeaderValue| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gzip_for(accepted: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, accepted.parse().unwrap());
        accepts_gzip(&headers)
    }

    #[test]
    fn gzip_is_used_where_its_weight_is_above_zero() {
        for accepted in
            ["gzip", "br, GZIP", "gzip;q=0.5", "*", "gzip; q=1, *;q=0", "deflate, *;q=0.1"]
        {
            assert!(gzip_for(accepted), "{accepted}");
        }
        for refused in ["", "br", "gzip;q=0", "gzip;q=0.000, *", "*;q=0", "identity", "gzip;q=much"]
        {
            assert!(!gzip_for(refused), "{refused}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
