//! The cases of the Autobahn test suite, as kosoku runs them, against an echo over the codec. Performance (9) and
//! compression (12, 13), which is never offered, are left out.

use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::mpsc::{Sender, channel};
use std::task::{Context, Poll, ready};

use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader, ReadBuf,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tungstenite::handshake::derive_accept_key;
use ws_codec::{Frame, Message, WebSocket, WebSocketError};

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
    let (sent, connections) = channel();
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(echo(stream, sent.clone()));
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
    server.abort();
    let opcodes: Vec<Vec<u8>> = connections.try_iter().map(|bytes| opcodes(&bytes)).collect();
    assert!(opcodes.len() >= 247, "{} connections", opcodes.len());
    for sent in opcodes {
        let first = sent.iter().position(|opcode| *opcode == CLOSE);
        assert!(first.is_none_or(|first| first + 1 == sent.len()), "{sent:x?}");
    }
}

/// The opcode of a close frame (RFC 6455 §5.2).
const CLOSE: u8 = 0x8;

/// Reads the opcodes of the frames that a server has sent (RFC 6455 §5.2); a frame that was cut off counts too.
fn opcodes(mut bytes: &[u8]) -> Vec<u8> {
    let mut opcodes = Vec::new();
    while let [first, length, rest @ ..] = bytes {
        opcodes.push(first & 0x0f);
        let extended = match length {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let (size, rest) = rest.split_at(extended.min(rest.len()));
        let long = size.iter().fold(0, |size, byte| size << 8 | usize::from(*byte));
        let length = if extended == 0 { usize::from(*length) } else { long };
        bytes = &rest[length.min(rest.len())..];
    }
    opcodes
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

async fn echo(stream: TcpStream, sent: Sender<Vec<u8>>) {
    let mut stream = BufReader::new(stream);
    let key = read_handshake(&mut stream).await.expect("a handshake");
    let accept = derive_accept_key(key.as_bytes());
    let answer = format!("{SWITCHING}Sec-WebSocket-Accept: {accept}\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.expect("the answer is written");
    let read = stream.buffer().to_vec();
    let stream = Recorded { stream: stream.into_inner(), written: Vec::new(), sent };
    let mut socket = WebSocket::new(stream, &read, LIMIT);
    // One of the cases is a client that goes away in the middle.
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
async fn answer_all(socket: &mut WebSocket<Recorded>) -> Result<(), WebSocketError> {
    loop {
        match socket.recv().await {
            Ok(Message::Text(text)) => socket.queue(&Frame::Text(text.as_bytes())),
            Ok(Message::Binary(bytes)) => socket.queue(&Frame::Binary(&bytes)),
            Ok(Message::Ping(_) | Message::Pong) => {}
            Err(WebSocketError::Violated(violation)) => {
                socket.close(violation.code(), "WebSocket protocol error").await?;
                while socket.recv().await.is_ok() {}
                return Ok(());
            }
            Ok(Message::Close(_)) | Err(WebSocketError::Disconnected) => return Ok(()),
        }
        socket.flush().await?;
    }
}

/// A stream that reports everything written to it when it ends.
struct Recorded {
    stream: TcpStream,
    written: Vec<u8>,
    sent: Sender<Vec<u8>>,
}

impl Drop for Recorded {
    fn drop(&mut self) {
        // The test may have failed and ended.
        let _ = self.sent.send(std::mem::take(&mut self.written));
    }
}

impl AsyncRead for Recorded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Recorded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.written.extend_from_slice(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
