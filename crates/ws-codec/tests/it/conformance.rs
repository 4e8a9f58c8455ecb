//! The cases of the Autobahn test suite, as kosoku runs them, against an echo over the codec. Performance (9) and
//! compression (12, 13), which is never offered, are left out.

use std::net::SocketAddr;
use std::path::Path;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tungstenite::handshake::derive_accept_key;
use ws_codec::{Ended, Frame, Message, WebSocket};

/// What the node allows, which is what the largest case needs.
const LIMIT: usize = 64 << 10;

const SWITCHING: &str =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";

/// `OK` and the two verdicts that are no faults: a case without a right answer, and UTF-8 that is refused at the end
/// of its frame rather than within it (6.4.3, 6.4.4).
const PASSED: [&str; 3] = ["OK", "INFORMATIONAL", "NON-STRICT"];

#[tokio::test]
async fn every_case_passes_and_ends_with_a_close_frame() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(echo(stream));
        }
    });
    let folder = tempfile::tempdir().unwrap();
    fuzz(address, folder.path()).await;
    let report = std::fs::read(folder.path().join("index.json")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    // By the name of the server, which is our address, and by case.
    let servers = report.as_object().expect("an object");
    let cases = servers.values().next().and_then(|cases| cases.as_object()).expect("one server");
    assert_eq!(cases.len(), 247);
    let failed: Vec<_> = cases.iter().filter(|(_, case)| !passed(case)).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

fn passed(case: &serde_json::Value) -> bool {
    PASSED.iter().any(|verdict| case["behavior"] == *verdict) && case["remoteCloseCode"].is_u64()
}

async fn fuzz(address: SocketAddr, reports: &Path) {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/kosoku/bin/kosoku");
    let done = Command::new(program)
        .args(["-m", "fuzzingclient", "-p", "2", "-x", "9.*", "-x", "12.*", "-x", "13.*", "-o"])
        .arg(reports)
        .arg(address.to_string())
        .kill_on_drop(true)
        .output()
        .await
        .expect("kosoku is installed: make install-tools");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

async fn echo(stream: TcpStream) {
    let mut stream = BufReader::new(stream);
    let key = read_handshake(&mut stream).await.expect("a handshake");
    let accept = derive_accept_key(key.as_bytes());
    let answer = format!("{SWITCHING}Sec-WebSocket-Accept: {accept}\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.expect("the answer is written");
    let read = stream.buffer().to_vec();
    let mut socket = WebSocket::new(stream.into_inner(), &read, LIMIT);
    // Who goes away in the middle is one of the cases.
    let _ = answer_all(&mut socket).await;
}

/// Returns the key of the handshake (RFC 6455 §4.2.1).
async fn read_handshake(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let (mut head, mut key) = (String::new(), String::new());
    while !head.ends_with("\r\n\r\n") {
        let before = head.len();
        stream.read_line(&mut head).await?;
        if let Some((name, value)) = head[before..].trim_end().split_once(": ")
            && name.eq_ignore_ascii_case("sec-websocket-key")
        {
            value.clone_into(&mut key);
        }
    }
    Ok(key)
}

/// Echoes until the end, as a session goes through its messages: what breaks the protocol is told by its code.
async fn answer_all(socket: &mut WebSocket<TcpStream>) -> Result<(), Ended> {
    loop {
        match socket.recv().await {
            Ok(Message::Text(text)) => socket.queue(&Frame::Text(text.as_bytes())),
            Ok(Message::Binary(bytes)) => socket.queue(&Frame::Binary(&bytes)),
            Ok(Message::Ping(_) | Message::Pong) => {}
            Err(Ended::Violated(violation)) => {
                socket.close(violation.code(), "WebSocket protocol error").await?;
                while socket.recv().await.is_ok() {}
                return Ok(());
            }
            Ok(Message::Close(_)) | Err(Ended::Gone) => return Ok(()),
        }
        socket.flush().await?;
    }
}
