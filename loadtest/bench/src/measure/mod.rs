//! What is measured of a fleet, each in a file of its own.

pub(crate) mod fanout;
pub(crate) mod idle;
pub(crate) mod meter;
pub(crate) mod relay;
pub(crate) mod scale;
pub(crate) mod storms;

use futures_util::StreamExt as _;
use futures_util::stream;

use crate::client::{Client, PlannedConnection};
use crate::problem::Problem;
use crate::servers::Fleet;

/// Connections that are opened at a time.
const OPENING: usize = 64;

/// A message of the size of a trickled candidate (RFC 8838), about 300 bytes.
pub(crate) fn candidate() -> String {
    let filling = "x".repeat(130);
    format!(
        "{{\"candidate\":{{\"candidate\":\"candidate:842163049 1 udp 1677729535 198.51.100.17 46154 typ srflx raddr \
         10.0.0.17 rport 46154 generation 0 ufrag {filling} network-cost 999\",\"sdpMid\":\"0\",\"sdpMLineIndex\":0}}}}"
    )
}

/// A message of the size of an offer: 4 KiB.
pub(crate) fn offer() -> String {
    let sdp =
        "a=extmap:3 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time\\r\\n".repeat(56);
    format!("{{\"description\":{{\"type\":\"offer\",\"sdp\":\"{sdp}\"}}}}")
}

/// Opens these clients, in order.
pub(crate) async fn open(
    fleet: &Fleet,
    tickets: Vec<PlannedConnection>,
) -> Result<Vec<Client>, Problem> {
    let dialect = fleet.subject.dialect();
    let opening =
        stream::iter(tickets).map(|ticket| async move { Client::open(dialect, &ticket).await });
    let opened: Vec<_> = opening.buffered(OPENING).collect().await;
    opened.into_iter().collect()
}
