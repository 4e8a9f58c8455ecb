//! Whether the way to Redis is open to others.

use std::net::IpAddr;

use service_kit::redis_access::{RedisAccess, Server};

/// Tells what whoever is on the way to this Redis could use; `None` if it is nothing, or Redis is on this machine.
#[must_use]
pub fn exposure(access: &RedisAccess) -> Option<&'static str> {
    if access.servers.iter().all(is_here) {
        return None;
    }
    match (access.login.has_password(), access.tls.is_some()) {
        (false, false) => Some("without a password, and in clear"),
        (false, true) => Some("without a password"),
        (true, false) => Some("in clear"),
        (true, true) => None,
    }
}

fn is_here(server: &Server) -> bool {
    server.host == "localhost"
        || server.host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redis_elsewhere_needs_a_password_and_tls() {
        for (url, open) in [
            ("redis://127.0.0.1:6379", None),
            ("redis://localhost", None),
            ("redis://redis.example:6379", Some("without a password, and in clear")),
            (
                "redis-cluster://127.0.0.1:1?node=10.0.0.2:1",
                Some("without a password, and in clear"),
            ),
            ("redis://:secret@redis.example", Some("in clear")),
            ("rediss://redis.example", Some("without a password")),
            ("rediss://signal:secret@redis.example", None),
        ] {
            assert_eq!(exposure(&RedisAccess::from_url(url).unwrap()), open, "{url}");
        }
    }
}
