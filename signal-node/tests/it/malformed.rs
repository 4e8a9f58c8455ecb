//! What no client would send, in bulk: the node lives, serves others, and its memory is back where it was.
//!
//! `MALFORMED_FRAMES=1000000 cargo test --release -p signal-node --test it malformed` sends a million.

use std::time::{Duration, Instant};

use fastrand::Rng;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::node::{SECRET, token};
use crate::support::peer::TestPeer;
use crate::support::process::NodeProcess;

const FRAMES: usize = 20_000;

/// Connections at the same time.
const ABUSERS: usize = 16;

/// Frames on one connection that are malformed and leave it open, before one that ends it.
const STRIKES: usize = 8;

/// How far the memory may be from where it was, in KiB: what an allocator keeps for next time.
const SLACK: u64 = 8 * 1024;

/// How long the allocator may take to give back.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_frames_harm_nobody() {
    let frames = option_env!("MALFORMED_FRAMES").map_or(FRAMES, |text| text.parse().unwrap());
    let settings = [("SIGNAL_NODE_JWT_SECRET", SECRET), ("SIGNAL_NODE_LOG", "error")];
    let node = NodeProcess::start(&settings).await;
    let [mut ana, mut bo] = [
        TestPeer::at(node.address(), &token("ana")).await,
        TestPeer::at(node.address(), &token("bo")).await,
    ];
    ana.join("demo", "ana").await;
    bo.join("demo", "bo").await;
    // Pools and caches have grown to their size by the first abuser.
    abuse(&node, 2_000, 1).await;
    let before = node.resident();
    let sent = abuse(&node, frames, 2).await;
    assert!(sent >= frames);
    ana.say(serde_json::json!({"type": "signal", "mid": 1, "room": "demo", "data": "still here"}))
        .await;
    assert_eq!(bo.expect("signal").await["data"], "still here");
    let until = Instant::now() + PATIENCE;
    while node.resident() > before + SLACK {
        assert!(Instant::now() < until, "{before} KiB before, {} after", node.resident());
        tokio::task::yield_now().await;
    }
    println!("{sent} malformed frames: {before} KiB before, {} after", node.resident());
    assert_eq!(node.terminate().await, Some(0));
}

/// Sends so many frames over as many connections as it takes, and returns how many it were.
async fn abuse(node: &NodeProcess, frames: usize, seed: u64) -> usize {
    let mut abusers = JoinSet::new();
    for number in 0..ABUSERS {
        let (address, share) = (node.address().to_owned(), frames.div_ceil(ABUSERS));
        let rng = Rng::with_seed(seed * 1_000 + number as u64);
        abusers.spawn(abuser(address, share, rng));
    }
    abusers.join_all().await.into_iter().sum()
}

async fn abuser(address: String, frames: usize, mut rng: Rng) -> usize {
    let (mut sent, token) = (0, token("abuser"));
    while sent < frames {
        let Some(mut stream) = connect(&address, &token).await else { continue };
        let strikes = rng.usize(0..=STRIKES);
        let frames =
            (0..strikes).map(|_| frame(0x81, broken_json(&mut rng).as_bytes())).collect::<Vec<_>>();
        let all = [frames.concat(), violation(&mut rng)].concat();
        timeout(PATIENCE, told(&mut stream, &all)).await.expect("it is closed").expect("not reset");
        sent += strikes + 1;
    }
    sent
}

/// Sends it all and reads until the close frame: each fault is named, and the last one ends it.
async fn told(stream: &mut TcpStream, all: &[u8]) -> std::io::Result<()> {
    stream.write_all(all).await?;
    let mut answers = Vec::new();
    while !answers
        .windows(4)
        .any(|bytes| bytes[0] == 0x88 && matches!(bytes[2..4], [0x03, 0xe9..=0xf1]))
    {
        if stream.read_buf(&mut answers).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// Upgrades a connection (RFC 6455 §4.1).
async fn connect(address: &str, token: &str) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!(
        "GET /v1/ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: signal.v1, bearer.{token}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.ok()?;
    answer.ends_with(b"101").then_some(stream)
}

/// A frame that breaks a rule of the frame layer.
fn violation(rng: &mut Rng) -> Vec<u8> {
    match rng.u8(0..10) {
        0 => frame(0x81, &[0xc3, 0x28, rng.u8(..)]),
        1 => frame(0x8b | (rng.u8(0..5) << 4), b"reserved control"),
        2 => frame(0x80 | rng.u8(3..8), b"reserved"),
        3 => frame(0x81 | (rng.u8(1..8) << 4), b"reserved bits"),
        4 => vec![0x81, 5, b'p', b'l', b'a', b'i', b'n'],
        5 => [&[0x81, 0xff][..], &u64::MAX.to_be_bytes(), &[0; 4]].concat(),
        6 => frame(0x89, &[0; 126]),
        7 => frame(0x80, b"continues nothing"),
        8 => [frame(0x01, b"begun"), frame(0x81, b"begun again")].concat(),
        _ if rng.bool() => frame(0x88, &[rng.u8(..)]),
        _ => frame(0x82, b"binary"),
    }
}

fn broken_json(rng: &mut Rng) -> String {
    let depth = rng.usize(1..2_000);
    match rng.u8(0..6) {
        0 => "[".repeat(depth),
        1 => format!(
            r#"{{"type":"signal","mid":1,"room":"demo","data":{}{}}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        ),
        2 => r#"{"type":"signal","mid":-1,"room":"demo","data":1}"#.to_owned(),
        3 => r#"{"type":"join","room":"../../etc","key":"x","try":1}"#.to_owned(),
        4 => r#"{"type":"join","room":"demo","key":7,"try":"many","meta":[]}"#.to_owned(),
        _ => format!(r#"{{"type":"{}"}}"#, "x".repeat(depth)),
    }
}

/// A client's frame that may be anything.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap();
    let mut bytes = vec![first];
    match length {
        0..=125 => bytes.push(0x80 | u8::try_from(length).unwrap()),
        _ => bytes.extend([&[0xfe][..], &length.to_be_bytes()].concat()),
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}
