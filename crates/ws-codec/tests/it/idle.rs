//! What a connection owns, and what it answers by itself.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use ws_codec::{Frame, Message, Violation, WebSocket, WebSocketError};

use crate::support::{LIMIT, frame};

fn pair(buffer: usize) -> (DuplexStream, WebSocket<DuplexStream>) {
    let (client, server) = duplex(buffer);
    (client, WebSocket::new(server, &[], LIMIT))
}

async fn read(client: &mut DuplexStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    client.read_exact(&mut bytes).await.expect("so many bytes");
    bytes
}

#[tokio::test]
async fn an_idle_connection_owns_no_buffer_after_large_messages_both_ways() {
    let (mut client, mut socket) = pair(1 << 20);
    let offer = "x".repeat(4_000);
    client.write_all(&frame(0x81, offer.as_bytes())).await.unwrap();
    assert_eq!(socket.recv().await, Ok(Message::Text(offer.clone())));
    socket.queue(&Frame::Text(offer.as_bytes()));
    assert!(socket.buffered() > 4_000);
    socket.flush().await.unwrap();
    assert_eq!(socket.buffered(), 0);
}

#[tokio::test]
async fn a_burst_is_read_message_by_message_and_leaves_nothing() {
    let (mut client, mut socket) = pair(1 << 20);
    let burst: Vec<u8> =
        (0..100).flat_map(|n: u32| frame(0x81, n.to_string().as_bytes())).collect();
    client.write_all(&burst).await.unwrap();
    for number in 0..100 {
        assert_eq!(socket.recv().await, Ok(Message::Text(number.to_string())));
    }
    assert_eq!(socket.buffered(), 0);
}

#[tokio::test]
async fn a_frame_that_comes_byte_by_byte_is_read_though_the_reader_gives_up_in_between() {
    let (mut client, mut socket) = pair(1 << 20);
    let (last, bytes) = frame(0x81, b"slow").split_last().map(|(l, b)| (*l, b.to_vec())).unwrap();
    for byte in bytes {
        client.write_all(&[byte]).await.unwrap();
        tokio::select! {
            biased;
            _ = socket.recv() => panic!("it is not complete"),
            () = tokio::task::yield_now() => {}
        }
    }
    client.write_all(&[last]).await.unwrap();
    assert_eq!(socket.recv().await, Ok(Message::Text("slow".to_owned())));
    assert_eq!(socket.buffered(), 0);
}

#[tokio::test]
async fn a_ping_is_answered_by_its_payload() {
    let (mut client, mut socket) = pair(1 << 20);
    client.write_all(&[frame(0x89, b"are you there"), frame(0x81, b"a")].concat()).await.unwrap();
    assert!(matches!(socket.recv().await, Ok(Message::Ping(_))));
    assert!(matches!(socket.recv().await, Ok(Message::Text(_))));
    assert_eq!(read(&mut client, 15).await, [&[0x8a, 13][..], b"are you there"].concat());
}

#[tokio::test]
async fn a_flood_of_pings_to_who_does_not_read_owes_one_pong() {
    let (mut client, mut socket) = pair(4_096);
    // The client's side takes nothing more.
    socket.queue(&Frame::Text(&[b'x'; 8_192]));
    for _ in 0..1_000 {
        client.write_all(&frame(0x89, &[b'p'; 100])).await.unwrap();
        assert!(matches!(socket.recv().await, Ok(Message::Ping(_))));
    }
    assert!(socket.buffered() < 20_000, "{}", socket.buffered());
}

#[tokio::test]
async fn a_close_frame_is_answered_before_it_is_reported_and_nothing_behind_it_is_read() {
    let (mut client, mut socket) = pair(1 << 20);
    let stream = [frame(0x88, b"\x0f\xa0bye"), frame(0x81, b"late")].concat();
    client.write_all(&stream).await.unwrap();
    let Ok(Message::Close(Some(closing))) = socket.recv().await else { panic!("no close frame") };
    assert_eq!((closing.code, &*closing.reason), (4000, "bye"));
    assert_eq!(read(&mut client, 4).await, [0x88, 2, 0x0f, 0xa0]);
    drop(client);
    assert_eq!(socket.recv().await, Err(WebSocketError::Disconnected));
}

#[tokio::test]
async fn who_breaks_the_protocol_is_told_and_the_stream_ends() {
    let (mut client, mut socket) = pair(1 << 20);
    client.write_all(&frame(0x83, b"a")).await.unwrap();
    assert_eq!(socket.recv().await, Err(WebSocketError::Violated(Violation::Protocol)));
    socket.close(1002, "no").await.unwrap();
    let mut all = Vec::new();
    client.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, [&[0x88, 4, 0x03, 0xea][..], b"no"].concat());
}

#[tokio::test]
async fn a_flush_that_was_given_up_goes_on_where_it_was() {
    let (mut client, mut socket) = pair(1_000);
    let text = "y".repeat(3_000);
    socket.queue(&Frame::Text(text.as_bytes()));
    tokio::select! {
        biased;
        _ = socket.flush() => panic!("it does not fit"),
        () = tokio::task::yield_now() => {}
    }
    let reading = tokio::spawn(async move { read(&mut client, 3_004).await });
    socket.flush().await.unwrap();
    assert_eq!(&reading.await.unwrap()[4..], text.as_bytes());
}
