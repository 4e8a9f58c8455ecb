//! The credential service as a node has it.

use std::sync::Arc;

use service_kit::secrets::SecretSource;

use super::report::{self, Finding};
use crate::credentials::{Credentials, CredentialsUrl};
use crate::metrics::Metrics;

pub(super) async fn examine(url: &CredentialsUrl, token: Option<SecretSource>) -> Finding {
    let prepared = Credentials::new(url, token, Arc::new(Metrics::new()));
    let credentials = match prepared {
        Ok(credentials) => credentials,
        Err(error) => {
            let advice = "look at SIGNAL_NODE_CREDENTIALS_URL";
            return report::fail("relays", error.to_string(), advice);
        }
    };
    match credentials.check().await {
        Ok(count) => {
            report::ok("relays", format!("the credential service gives {count} ICE servers"))
        }
        Err((found, advice)) => report::fail("relays", found, advice),
    }
}
