//! The endpoints of webhooks as a node has them.

use super::report::{self, Finding};
use crate::webhooks::{WebhookSettings, probe};

pub(super) async fn examine(settings: &WebhookSettings) -> Vec<Finding> {
    let probed = match probe(settings).await {
        Ok(probed) => probed,
        Err(error) => {
            let advice = "look at the certificates of this machine";
            return vec![report::fail("webhooks", error.to_string(), advice)];
        }
    };
    let finding = |(origin, answer): (String, Result<u16, String>)| match answer {
        Ok(status) => report::ok("webhooks", format!("{origin} answers ({status} to HEAD)")),
        Err(error) => {
            let advice = "look at SIGNAL_NODE_WEBHOOK_URLS, the name in DNS and the network";
            report::fail("webhooks", format!("{origin}: {error}"), advice)
        }
    };
    probed.into_iter().map(finding).collect()
}
