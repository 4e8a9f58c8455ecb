//! The closing handshake (RFC 6455 §5.5.1, §7.1): each side sends one close frame, and nothing after it.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use ws_codec::{Closing, Frame, Message, WebSocket, WebSocketError};

use crate::support::{LIMIT, frame};

/// A client's close frame with code 4000.
fn close_frame() -> Vec<u8> {
    frame(0x88, &4000_u16.to_be_bytes())
}

fn pair() -> (DuplexStream, WebSocket<DuplexStream>) {
    let (client, server) = tokio::io::duplex(1 << 16);
    (client, WebSocket::new(server, &[], LIMIT))
}

/// Ends the server's side, and returns everything that it has written.
async fn written(mut client: DuplexStream, socket: WebSocket<DuplexStream>) -> Vec<u8> {
    drop(socket);
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).await.expect("the server has ended");
    bytes
}

fn server_close(code: u16, reason: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    Frame::Close(Some((code, reason))).write(&mut bytes);
    bytes
}

#[tokio::test]
async fn the_answer_to_our_close_frame_is_not_answered() {
    let (mut client, mut socket) = pair();
    socket.close(4000, "drain").await.unwrap();
    client.write_all(&close_frame()).await.unwrap();
    let closing = Closing { code: 4000, reason: String::new() };
    assert_eq!(socket.recv().await, Ok(Message::Close(Some(closing))));
    socket.flush().await.unwrap();
    assert_eq!(written(client, socket).await, server_close(4000, "drain"));
}

#[tokio::test]
async fn the_client_that_closes_first_is_answered_once() {
    let (mut client, mut socket) = pair();
    client.write_all(&close_frame()).await.unwrap();
    assert!(matches!(socket.recv().await, Ok(Message::Close(Some(_)))));
    socket.close(4100, "unauthorized").await.unwrap();
    assert_eq!(written(client, socket).await, server_close(4000, ""));
}

#[tokio::test]
async fn close_frames_that_cross_are_one_on_each_side() {
    let (mut client, mut socket) = pair();
    client.write_all(&close_frame()).await.unwrap();
    socket.close(4202, "replaced").await.unwrap();
    assert!(matches!(socket.recv().await, Ok(Message::Close(Some(_)))));
    assert_eq!(written(client, socket).await, server_close(4202, "replaced"));
}

#[tokio::test]
async fn a_second_close_sends_nothing() {
    let (client, mut socket) = pair();
    socket.close(4000, "drain").await.unwrap();
    socket.close(4001, "ping_timeout").await.unwrap();
    assert_eq!(written(client, socket).await, server_close(4000, "drain"));
}

#[tokio::test]
async fn nothing_follows_a_close_frame() {
    let (mut client, mut socket) = pair();
    client.write_all(&frame(0x89, b"before")).await.unwrap();
    assert_eq!(socket.recv().await, Ok(Message::Ping(b"before".as_slice().into())));
    socket.close(4000, "drain").await.unwrap();
    client.write_all(&frame(0x89, b"after")).await.unwrap();
    assert_eq!(socket.recv().await, Ok(Message::Ping(b"after".as_slice().into())));
    socket.queue(&Frame::Text(b"late"));
    socket.flush().await.unwrap();
    assert_eq!(written(client, socket).await, server_close(4000, "drain"));
}

#[tokio::test]
async fn a_pong_that_is_owed_does_not_follow_the_answer_to_a_close_frame() {
    let (mut client, mut socket) = pair();
    let ping_and_close = [frame(0x89, b"ping"), close_frame()].concat();
    client.write_all(&ping_and_close).await.unwrap();
    while !matches!(socket.recv().await, Ok(Message::Close(_))) {}
    let bytes = written(client, socket).await;
    assert!(bytes.ends_with(&server_close(4000, "")), "{bytes:?}");
}

#[tokio::test]
async fn a_violation_is_closed_once_and_a_violation_while_closing_is_not_reported() {
    let unmasked = [0x81, 0x01, b'a'];
    let (mut client, mut socket) = pair();
    client.write_all(&unmasked).await.unwrap();
    assert!(matches!(socket.recv().await, Err(WebSocketError::Violated(_))));
    socket.close(1002, "").await.unwrap();
    socket.close(1002, "").await.unwrap();
    assert_eq!(written(client, socket).await, server_close(1002, ""));

    let (mut client, mut socket) = pair();
    socket.close(4000, "").await.unwrap();
    client.write_all(&unmasked).await.unwrap();
    assert_eq!(socket.recv().await, Err(WebSocketError::Disconnected));
    assert_eq!(written(client, socket).await, server_close(4000, ""));
}
