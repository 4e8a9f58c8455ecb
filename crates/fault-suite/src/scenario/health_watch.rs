//! Notes what each node says of its health, whenever that changes.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use signal_node::log::Trouble;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::cluster::{Cluster, Metrics, is_ready};
use crate::history::{Log, What};

/// Nodes cannot be waited for; they are asked so often.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// A node that is stopped does not answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Watches the nodes of a cluster; it ends with this value.
pub(super) struct HealthWatch(#[expect(dead_code, reason = "held for its end")] JoinSet<()>);

impl HealthWatch {
    pub(super) fn start(cluster: &Cluster, log: &Log) -> Self {
        let nodes = cluster.nodes.iter().zip(0..);
        Self(nodes.map(|(node, number)| watch(number, node.admin(), log.clone())).collect())
    }
}

async fn watch(node: u8, admin: watch::Receiver<SocketAddr>, log: Log) {
    let mut pace = interval(ASK_EVERY);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut said = None;
    loop {
        pace.tick().await;
        let address = *admin.borrow();
        // A node that does not answer has said nothing: what it said before goes on.
        let Ok(Ok(health)) = timeout(ANSWER_WITHIN, ask(node, address)).await else { continue };
        if said.as_ref() != Some(&health) {
            log.note(health.clone());
            said = Some(health);
        }
    }
}

async fn ask(node: u8, admin: SocketAddr) -> io::Result<What> {
    let metrics = Metrics::fetch(admin).await?;
    let is_one = |series: &str| metrics.sum(series) > 0.5;
    let kinds = Trouble::NAMES.into_iter();
    let trouble = kinds.filter(|kind| is_one(&format!("signal_log_trouble{{kind=\"{kind}\"}}")));
    Ok(What::Health {
        node,
        up: is_one("signal_log_up "),
        ready: is_ready(admin).await?,
        trouble: trouble.map(Into::into).collect(),
    })
}
