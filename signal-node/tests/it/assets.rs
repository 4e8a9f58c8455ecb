//! The SDK and the page as files: for pages of other origins, and for caches.

use std::io::Read;

use flate2::read::GzDecoder;
use reqwest::{Client, Response, StatusCode};

use crate::support::node::TestNode;

async fn fetch(node: &TestNode, path: &str, headers: &[(&str, &str)]) -> Response {
    let url = format!("http://{}{path}", node.address());
    let request = headers
        .iter()
        .fold(Client::new().get(url), |request, (name, value)| request.header(*name, *value));
    request.send().await.unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_page_of_another_origin_may_import_the_sdk_and_not_the_page() {
    let listed = [("ALLOWED_ORIGINS", "https://app.example")];
    for node in [TestNode::open().await, TestNode::start(&listed).await] {
        for path in
            ["/client/index.js", "/client/signal-client.js", "/client/signal-client.global.js"]
        {
            let sdk = fetch(&node, path, &[("origin", "https://any.example")]).await;
            assert_eq!(sdk.status(), StatusCode::OK, "{path}");
            assert_eq!(header(&sdk, "access-control-allow-origin"), Some("*"), "{path}");
            assert_eq!(header(&sdk, "cross-origin-resource-policy"), Some("cross-origin"));
        }
        let missing = fetch(&node, "/client/none.js", &[]).await;
        assert_eq!(missing.status(), StatusCode::NOT_FOUND);
        assert_eq!(header(&missing, "access-control-allow-origin"), Some("*"));
        let page = fetch(&node, "/", &[]).await;
        assert_eq!(header(&page, "access-control-allow-origin"), None);
    }
}

#[tokio::test]
async fn a_file_that_a_cache_has_is_not_sent_again() {
    let node = TestNode::open().await;
    for path in ["/client/index.js", "/", "/demo/demo.css"] {
        let first = fetch(&node, path, &[]).await;
        let etag = header(&first, "etag").unwrap().to_owned();
        for known in [etag.clone(), format!("\"other\", W/{etag}"), "*".to_owned()] {
            let again = fetch(&node, path, &[("if-none-match", &known)]).await;
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{path} {known}");
            assert_eq!(header(&again, "etag"), Some(etag.as_str()));
            assert_eq!(header(&again, "cache-control"), Some("no-cache"));
            assert_eq!(again.bytes().await.unwrap().len(), 0);
        }
        let changed = fetch(&node, path, &[("if-none-match", "\"other\"")]).await;
        assert_eq!(changed.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn a_file_is_compressed_for_clients_that_accept_it() {
    let node = TestNode::open().await;
    let path = "/client/signal-client.js";
    let plain = fetch(&node, path, &[]).await;
    assert_eq!(header(&plain, "content-encoding"), None);
    assert_eq!(header(&plain, "vary"), Some("accept-encoding"));
    let packed = fetch(&node, path, &[("accept-encoding", "br;q=1, gzip;q=0.8")]).await;
    assert_eq!(header(&packed, "content-encoding"), Some("gzip"));
    assert_eq!(header(&packed, "vary"), Some("accept-encoding"));
    assert_eq!(header(&packed, "content-type"), Some("text/javascript; charset=utf-8"));
    assert_ne!(header(&packed, "etag"), header(&plain, "etag"));
    let (plain, packed) = (plain.bytes().await.unwrap(), packed.bytes().await.unwrap());
    assert!(packed.len() * 2 < plain.len(), "{} of {}", packed.len(), plain.len());
    let mut unpacked = Vec::new();
    GzDecoder::new(packed.as_ref()).read_to_end(&mut unpacked).unwrap();
    assert_eq!(unpacked, plain);
}
