//! `X-Forwarded-For`: nobody gets a further address by writing one in front, and an untrusted peer is who it is.

#![no_main]

use std::net::IpAddr;

use ipnet::IpNet;
use libfuzzer_sys::fuzz_target;
use service_kit::client_ip::{client_ip, is_trusted};

fuzz_target!(|header: &str| {
    let trusted: [IpNet; 2] =
        ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().expect("a network"));
    let proxy: IpAddr = "10.0.0.1".parse().expect("an address");
    let stranger: IpAddr = "203.0.113.9".parse().expect("an address");
    assert_eq!(client_ip(stranger, [header.as_bytes()], &trusted), stranger);
    let found = client_ip(proxy, [header.as_bytes()], &trusted);
    if !is_trusted(Some(found), &trusted) {
        assert_eq!(
            client_ip(proxy, [b"192.0.2.66".as_slice(), header.as_bytes()], &trusted),
            found
        );
        assert_eq!(client_ip(proxy, [format!("192.0.2.66,{header}").as_bytes()], &trusted), found);
    }
});
