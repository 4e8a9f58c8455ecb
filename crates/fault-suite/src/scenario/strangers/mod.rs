//! Strangers who want to keep others out, without a valid token: at every listener of nodes and of the credential service, all
//! at once. Good clients get in beside them as before.

mod attacker;

use std::net::SocketAddr;
use std::time::Duration;

use fastrand::Rng;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::attacker::{Answer, AnswerCounts, Attacker, Kind, Then};
use super::measure::count_events;
use super::under_attack::{AttackPlan, WITHIN, compare, figures as effect_figures, gather};
use super::{Options, Report, Rig, ScenarioError, ScenarioSettings, stage};
use crate::check::AttackEffect;
use crate::cluster::Node;
use crate::history::{History, What};
use crate::report::{Figure, count};

/// Rooms of three good members.
const ROOMS: u32 = 2;
/// Pauses of those who show tokens, and of those who want to stay. A machine that attackers share with nodes leaves
/// them no processor if they come without a pause.
const HURRY: Duration = Duration::from_millis(10);
const RETURN: Duration = Duration::from_secs(2);
/// The longest that any stranger is borne: answers that are not taken.
const BORNE: Duration = Duration::from_secs(20);

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub struct Strangers {
    /// How long the quiet time and the attack take.
    pub plan: AttackPlan,
    /// So many who say no hello come to each node, and so many who say nothing at all. A node may have four fifths of them as
    /// connections, and an address two fifths.
    pub silent: usize,
    /// Nodes without bounds on addresses and networks: a negative twin, in which good clients must be kept out.
    pub is_unlimited: bool,
}

fn settings(plan: Strangers) -> ScenarioSettings {
    let mut settings = ScenarioSettings { has_credentials: true, ..ScenarioSettings::default() };
    settings.extra.push(("MAX_CONNECTIONS", (plan.silent * 4 / 5).to_string()));
    // The suite raises it for its own clients, which are few here.
    settings.extra.push(("MAX_CONNECTIONS_PER_IP", (plan.silent * 2 / 5).to_string()));
    if plan.is_unlimited {
        let limits = [("MAX_CONNECTIONS_PER_IP", "1000000"), ("UPGRADES_PER_NET", "1000000/s")];
        settings.extra.extend(limits.map(|(name, value)| (name, value.to_owned())));
    }
    settings
}

/// Runs it.
pub async fn strangers(options: &Options, plan: &Strangers) -> Report {
    let (history, ended) = stage("strangers", options, &settings(*plan), async |rig| {
        attacked(rig, options.seed, plan).await
    })
    .await;
    let length = plan.plan.length;
    Report::new("strangers", options, history, ended, |history, counts| {
        figures(history, &counts, length)
    })
}

async fn attacked(
    rig: &mut Rig,
    seed: u64,
    plan: &Strangers,
) -> Result<AnswerCounts, ScenarioError> {
    gather(rig, ROOMS).await?;
    let strangers = all(rig, plan.silent);
    let attack = async |until: Instant| attack(strangers, until, seed).await;
    let counts = compare(rig, ROOMS, &plan.plan, attack).await;
    rig.close(WITHIN).await?;
    Ok(counts)
}

async fn attack(strangers: Vec<Attacker>, until: Instant, seed: u64) -> AnswerCounts {
    let mut rng = Rng::with_seed(seed);
    let living = strangers.into_iter().map(|stranger| stranger.live(until, rng.fork()));
    let mut living: JoinSet<_> = living.collect();
    let mut counts = AnswerCounts::default();
    while let Some(ended) = living.join_next().await {
        counts.extend(ended.expect("a stranger does not panic"));
    }
    counts
}

/// Everyone who comes to a cluster.
fn all(rig: &Rig, silent: usize) -> Vec<Attacker> {
    let nodes =
        rig.cluster.nodes.iter().map(|node: &Node| (node.address(), *node.admin().borrow()));
    let nodes = nodes.flat_map(|(public, admin)| at_node(public, admin, silent));
    let services = rig.cluster.credentials.iter();
    nodes.chain(services.flat_map(|it| at_credentials(it.public(), it.admin(), silent))).collect()
}

fn at_node(public: SocketAddr, admin: SocketAddr, silent: usize) -> Vec<Attacker> {
    let wrong = "Authorization: Bearer e30.e30.e30\r\n";
    let upgrade = |more: &str| upgrade(&public.to_string(), more);
    let mut all = Plans::default();
    all.add(2, Kind::WrongTokens, public, upgrade(wrong));
    for listener in [public, admin] {
        all.add(1, Kind::WrongTokens, listener, get("/v1/rooms/r0", wrong));
        all.add(20, Kind::SlowRequests, listener, b"GET /v1/ws HTTP/1.1\r\nHost: x\r\nx: ".into());
    }
    all.add(4, Kind::UntakenAnswers, public, get("/client/signal-client.js", ""));
    all.add(2, Kind::UntakenAnswers, admin, get("/metrics", ""));
    all.add(silent, Kind::Idle, public, Vec::new());
    all.add(silent / 5, Kind::Idle, admin, Vec::new());
    all.add(silent, Kind::NoHello, public, upgrade(""));
    let name = format!("rebound.example:{}", public.port());
    let page = self::upgrade(&name, &format!("Origin: http://{name}\r\n"));
    all.add(2, Kind::ReboundOrigin, public, page);
    for frame in malformed() {
        all.add(1, Kind::MalformedFrames, public, [upgrade(""), frame].concat());
    }
    all.0
}

fn at_credentials(public: SocketAddr, admin: SocketAddr, silent: usize) -> Vec<Attacker> {
    let mut all = Plans::default();
    let wrong = "Authorization: Bearer e30.e30.e30\r\nContent-Length: 2\r\n";
    let ask = b"POST /v1/ice-servers HTTP/1.1\r\nHost: x\r\n";
    all.add(2, Kind::WrongTokens, public, [ask, wrong.as_bytes(), b"\r\n{}"].concat());
    let form = "POST /turn HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 4000\r\n\r\n";
    all.add(20, Kind::SlowRequests, public, form.into());
    for listener in [public, admin] {
        all.add(20, Kind::SlowRequests, listener, b"GET / HTTP/1.1\r\nHost: x\r\nx: ".into());
        all.add(silent / 5, Kind::Idle, listener, Vec::new());
    }
    all.add(4, Kind::UntakenAnswers, public, get("/v1/openapi.json", ""));
    all.add(2, Kind::UntakenAnswers, admin, get("/metrics", ""));
    all.0
}

/// Strangers who are to come.
#[derive(Default)]
struct Plans(Vec<Attacker>);

impl Plans {
    /// Adds so many who do the same.
    fn add(&mut self, count: usize, kind: Kind, to: SocketAddr, text: Vec<u8>) {
        let (then, pause) = match kind {
            Kind::WrongTokens => (Then::Repeats, HURRY),
            Kind::SlowRequests => (Then::Drips, RETURN),
            Kind::UntakenAnswers => (Then::ReadsNothing, RETURN),
            Kind::Idle | Kind::NoHello => (Then::Waits, RETURN),
            Kind::ReboundOrigin | Kind::MalformedFrames => (Then::Waits, HURRY * 10),
        };
        self.0.extend(std::iter::repeat_n(Attacker { kind, to, text, then, pause }, count));
    }
}

fn get(path: &str, headers: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n").into()
}

fn upgrade(host: &str, headers: &str) -> Vec<u8> {
    format!("GET /v1/ws HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: signal.v1\r\n{headers}\r\n").into()
}

/// Frames that break RFC 6455 §5.1 (no mask), §5.2 (a reserved opcode), §5.5 (a control frame in pieces), and one whose head
/// promises more than memory holds.
fn malformed() -> [Vec<u8>; 4] {
    let endless = [&[0x81, 0xff][..], &u64::MAX.to_be_bytes(), &[0; 4]].concat();
    [vec![0x81, 1, b'x'], vec![0x83, 0x80, 0, 0, 0, 0], vec![0x09, 0x80, 0, 0, 0, 0], endless]
}

fn figures(history: &History, counts: &AnswerCounts, length: Duration) -> Vec<Figure> {
    let closed = count_events(history, |what| matches!(what, What::Closed { .. }));
    // A run may be shorter than the patience of nodes with those who are slow.
    let slow = if length > 2 * BORNE { 1.0 } else { 0.0 };
    let many = |kind: Kind, answer: Answer| count(counts.count(|k, a| (k, a) == (kind, answer)));
    let ended = |kind| many(kind, Answer::Ended);
    let welcomed = count(counts.count(|_, answer| answer == Answer::Welcome));
    let came = Kind::ALL.into_iter().filter(|kind| counts.count(|k, _| k == *kind) > 0);
    let is_wrong = |answer| matches!(answer, Answer::Close(1002 | 1009));
    let malformed = counts.count(|kind, answer| kind == Kind::MalformedFrames && is_wrong(answer));
    let mut figures = effect_figures(AttackEffect::of(history).as_ref());
    figures.extend([
        Figure::at_most("sockets that good members lost", closed, 0.0, ""),
        Figure::at_least(
            "kinds of strangers that a listener answered",
            count(came.count()),
            slow * count(Kind::ALL.len()),
            "",
        ),
        Figure::at_least(
            "tokens refused: 401",
            many(Kind::WrongTokens, Answer::Status(401)),
            1.0,
            "",
        ),
        Figure::at_least(
            "and then no more verified: 429",
            many(Kind::WrongTokens, Answer::Status(429)),
            1.0,
            "",
        ),
        Figure::at_least("slow requests given up", ended(Kind::SlowRequests), slow, ""),
        Figure::at_least(
            "connections whose answers are not taken, given up",
            ended(Kind::UntakenAnswers),
            slow,
            "",
        ),
        Figure::at_least("silent connections closed or refused", ended(Kind::Idle), 1.0, ""),
        Figure::at_least(
            "upgrades without hello: 4201",
            many(Kind::NoHello, Answer::Close(4201)),
            slow,
            "",
        ),
        Figure::at_least(
            "pages of a rebound name: 4204",
            many(Kind::ReboundOrigin, Answer::Close(4204)),
            1.0,
            "",
        ),
        Figure::at_least("malformed frames: 1002, 1009", count(malformed), 1.0, ""),
        Figure::at_most("strangers that got in", welcomed, 0.0, ""),
    ]);
    figures
}
