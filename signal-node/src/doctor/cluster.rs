//! The cluster as its clients have it.

use std::time::{Duration, Instant};

use signal_client::{PeerId, Room, RoomEvent};
use signal_protocol::RoomId;

use super::Questions;
use super::client::{Client, Target, Unreached, expect};
use super::report::{self, Finding, Report};

/// How many connections are made to meet a second node.
const CONNECTIONS: usize = 8;

/// A page that nobody allows.
const STRANGER: &str = "https://doctor.invalid";

/// What a good way takes at most for a word to another member.
const SLOW: Duration = Duration::from_millis(500);

pub(super) async fn examine(
    target: &Target,
    room: &RoomId,
    questions: &Questions,
    report: &mut Report<'_>,
) {
    let [ana, bo] = match connect(target).await {
        Ok((finding, clients)) => {
            report.add(finding);
            clients
        }
        Err(unreached) => return report.add(not_connected(&unreached)),
    };
    report.add(stranger(target).await);
    for origin in &questions.origins {
        report.add(page(target, origin).await);
    }
    report.add(nodes(&ana, &bo));
    match meet(&ana, &bo, room, questions.requires_ice).await {
        Ok(findings) => findings.into_iter().for_each(|finding| report.add(finding)),
        Err(unreached) => return report.add(not_met(&unreached)),
    }
    if let Some(time) = questions.idle {
        report.add(stay(&ana, time).await);
    }
}

/// Connects until two nodes are met, or often enough.
async fn connect(target: &Target) -> Result<(Finding, [Client; 2]), Unreached> {
    let began = Instant::now();
    let first = Client::connect(target).await?;
    let took = began.elapsed();
    let mut second = Client::connect(target).await?;
    for _ in 2..CONNECTIONS {
        if second.node != first.node {
            break;
        }
        second = Client::connect(target).await?;
    }
    let finding = report::ok("upgrade", format!("welcomed within {} ms", took.as_millis()));
    Ok((finding, [first, second]))
}

fn not_connected(unreached: &Unreached) -> Finding {
    let advice = match unreached {
        Unreached::Connect(_) => {
            "look whether the balancer listens there, and lets this machine in"
        }
        Unreached::Tls(_) => "look at the certificate, and whether it is for this host",
        Unreached::Status(status) => match status {
            401 | 403 => "look at the token, or at SIGNAL_NODE_ALLOWED_ORIGINS",
            429 => "the node takes all clients for one: set SIGNAL_NODE_TRUSTED_PROXIES",
            502..=504 => "the balancer has no node that is ready, or the node is full or draining",
            _ => "the balancer has to pass `Upgrade: websocket` on to /v1/ws",
        },
        // 4201: without a token, `hello` was refused, and no other one came.
        Unreached::Closed(4100 | 4101 | 4201, _) | Unreached::Refused(_) => {
            "show a token that the node accepts: --token-file, or SIGNAL_NODE_JWT_SECRET_FILE"
        }
        Unreached::Late | Unreached::Closed(..) => {
            "look into the logs of the balancer and of the node"
        }
    };
    report::fail("upgrade", unreached.to_string(), advice)
}

/// Whether a page of one's own may connect.
async fn page(target: &Target, origin: &str) -> Finding {
    match Client::page_may_connect(target, origin).await {
        Ok(true) => report::ok("origin", format!("pages of {origin} may connect")),
        Ok(false) => report::fail(
            "origin",
            format!("pages of {origin} are refused"),
            "list it in SIGNAL_NODE_ALLOWED_ORIGINS, as the browser says it: scheme, host and port, without a path; \
             localhost and 127.0.0.1 are two",
        ),
        Err(other) => report::fail(
            "origin",
            format!("a page of {origin} is answered oddly: {other}"),
            "write it as a browser does, such as http://localhost:3000",
        ),
    }
}

async fn stranger(target: &Target) -> Finding {
    match Client::page_may_connect(target, STRANGER).await {
        Ok(false) => report::ok("origin", "pages of strangers are refused"),
        Ok(true) => report::warn(
            "origin",
            "pages of any origin may connect",
            "list yours in SIGNAL_NODE_ALLOWED_ORIGINS, unless * is meant",
        ),
        Err(other) => report::warn(
            "origin",
            format!("a page of a stranger is answered oddly: {other}"),
            "look whether the balancer passes Origin on",
        ),
    }
}

fn nodes(ana: &Client, bo: &Client) -> Finding {
    if ana.node == bo.node {
        let found = format!("{CONNECTIONS} connections all led to {}", ana.node);
        return report::warn(
            "nodes",
            found,
            "with more than one node, look whether the balancer sends to all",
        );
    }
    report::ok("nodes", format!("met {} and {}", ana.node, bo.node))
}

/// Both enter, say a word to each other, and leave.
async fn meet(
    ana: &Client,
    bo: &Client,
    room: &RoomId,
    requires_ice: bool,
) -> Result<Vec<Finding>, Unreached> {
    let mut first = ana.join(room).await?;
    let mut second = bo.join(room).await?;
    expect(&mut first.0, |event| matches!(event, RoomEvent::PeerJoined { .. }).then_some(()))
        .await?;
    let mut findings = vec![report::ok("join", format!("two members in room {room}"))];
    findings.push(ice(ana.ice_servers(), requires_ice));
    findings.push(echo(&mut first, &mut second).await?);
    first.0.leave().await;
    second.0.leave().await;
    Ok(findings)
}

fn ice(count: usize, is_required: bool) -> Finding {
    if count > 0 {
        return report::ok("ice", format!("{count} ICE servers with credentials"));
    }
    let found = "no ICE servers: without a relay some calls do not come about";
    if is_required {
        let advice =
            "look at /readyz of the nodes, which says why their credential service gives none";
        return report::fail("ice", found, advice);
    }
    report::warn(
        "ice",
        found,
        "set SIGNAL_NODE_CREDENTIALS_URL; where it is set, look at /readyz of the nodes",
    )
}

async fn echo(
    (ana, ana_id): &mut (Room, PeerId),
    (bo, bo_id): &mut (Room, PeerId),
) -> Result<Finding, Unreached> {
    let said = |event: &RoomEvent| matches!(event, RoomEvent::Signal { .. }).then_some(());
    let began = Instant::now();
    // How they end shows by what arrives.
    drop(ana.signal(bo_id, "ping"));
    expect(bo, said).await?;
    drop(bo.signal(ana_id, "pong"));
    expect(ana, said).await?;
    let took = began.elapsed();
    let found = format!("there and back in {:.1} ms", took.as_secs_f64() * 1e3);
    if took > SLOW {
        let advice = "look at the way to Redis: signal-node doctor with the settings of a node";
        return Ok(report::warn("echo", found, advice));
    }
    Ok(report::ok("echo", found))
}

fn not_met(unreached: &Unreached) -> Finding {
    let advice = match unreached {
        Unreached::Refused(code) if code.starts_with("unavailable") => {
            "the node does not reach Redis"
        }
        Unreached::Refused(code) if code.starts_with("forbidden") => {
            "the token has to open the room: --room names another one"
        }
        Unreached::Connect(_)
        | Unreached::Tls(_)
        | Unreached::Status(_)
        | Unreached::Late
        | Unreached::Closed(..)
        | Unreached::Refused(_) => "look into the log of the node",
    };
    report::fail("join", unreached.to_string(), advice)
}

async fn stay(client: &Client, time: Duration) -> Finding {
    let began = Instant::now();
    match client.idle(time).await {
        Ok(()) => report::ok("idle", format!("left in peace for {time:?}")),
        Err(unreached) => report::fail(
            "idle",
            format!("cut after {:.0} s: {unreached}", began.elapsed().as_secs_f64()),
            "raise the idle timeout of the balancer above SIGNAL_NODE_PING, or let pings count",
        ),
    }
}
