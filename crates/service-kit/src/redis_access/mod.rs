//! How a service reaches a Redis: where it is, who the service is there, and whom it trusts. The same settings for
//! both services, whatever client they use.

mod login;
mod rejection;
mod tls;
mod url;

use crate::settings::{Reader, Setting};

pub use login::Login;
pub use rejection::{RejectionLog, advice};
pub use tls::Certificates;
use url::ParsedUrl;
pub use url::{Server, Topology, UrlError};

/// The user of the ACL of Redis.
#[rustfmt::skip]
pub const USERNAME: Setting = Setting::plain("redis_username", "redis", "USER", None, "User of the ACL of Redis; wins over that of the URL");
/// The password of that user, read as one line.
#[rustfmt::skip]
pub const PASSWORD: Setting = Setting::secret("redis_password", "redis", "PASSWORD", "Its password, of any characters; wins over that of the URL. A file is read again for each new connection");
/// The authorities of a private CA.
#[rustfmt::skip]
pub const CA_FILE: Setting = Setting::plain("redis_ca_file", "redis", "FILE", None, "PEM file of the authorities that the certificate of Redis is checked with, instead of those of the system; needs rediss");
/// A client certificate, for `tls-auth-clients`.
#[rustfmt::skip]
pub const CERT_FILE: Setting = Setting::plain("redis_cert_file", "redis", "FILE", None, "PEM file of a client certificate, where Redis asks for one (tls-auth-clients)");
/// The key of the client certificate.
#[rustfmt::skip]
pub const KEY_FILE: Setting = Setting::plain("redis_key_file", "redis", "FILE", None, "PEM file of its key");
/// The name of the primary, as in `sentinel monitor NAME`.
#[rustfmt::skip]
pub const SENTINEL_NAME: Setting = Setting::plain("redis_sentinel_name", "redis", "NAME", None, "Name of the primary that the Sentinels watch; needs redis-sentinel");
/// The user at the Sentinels, who may be another than at the servers.
#[rustfmt::skip]
pub const SENTINEL_USERNAME: Setting = Setting::plain("redis_sentinel_username", "redis", "USER", None, "User at the Sentinels");
/// The password of that user.
#[rustfmt::skip]
pub const SENTINEL_PASSWORD: Setting = Setting::secret("redis_sentinel_password", "redis", "PASSWORD", "Password at the Sentinels");

/// How a Redis is reached.
#[derive(Clone, Debug)]
pub struct RedisAccess {
    /// What the servers are.
    pub topology: Topology,
    /// The servers, or the Sentinels, that are asked first.
    pub servers: Vec<Server>,
    /// Number of the database; 0 in a cluster.
    pub database: u8,
    /// Who we are at the servers.
    pub login: Login,
    /// Who we are at the Sentinels.
    pub sentinel_login: Login,
    /// `None`: without TLS.
    pub tls: Option<Certificates>,
}

impl RedisAccess {
    /// Reads a URL alone.
    ///
    /// # Errors
    /// What is wrong with it, and how to write it.
    pub fn from_url(url: &str) -> Result<Self, UrlError> {
        Ok(Self::new(url.parse()?, None))
    }

    fn new(parsed: ParsedUrl, certificates: Option<Certificates>) -> Self {
        let ParsedUrl { topology, servers, database, login, sentinel_login, is_tls } = parsed;
        let tls = is_tls.then(|| certificates.unwrap_or_default());
        Self { topology, servers, database, login, sentinel_login, tls }
    }

    /// Reads `redis_url` and the settings of this module, which the schema must declare; `None` if there is no URL, or a fault.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let certificates = Certificates::read(reader);
        let url = reader.secret_text("redis_url")?;
        let parsed = url.expose().parse::<ParsedUrl>();
        let mut parsed = parsed
            .map_err(|error| reader.fault("redis_url", format!("is not usable: {error}")))
            .ok()?;
        parsed.login.replace(reader, "redis_username", "redis_password");
        parsed.sentinel_login.replace(reader, "redis_sentinel_username", "redis_sentinel_password");
        let name = reader.optional_text("redis_sentinel_name");
        if let Err(what) = parsed.topology.name_primary(name) {
            reader.fault("redis_sentinel_name", what);
        }
        if certificates.is_some() && !parsed.is_tls {
            let what = "is without TLS, so that no certificate would be used: write rediss";
            reader.fault("redis_url", what);
        }
        Some(Self::new(parsed, certificates))
    }
}
