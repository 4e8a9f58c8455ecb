//! A bot that joins a room and sends back whatever is said to it.
//!
//! ```sh
//! cargo run                          # a node on this machine; the URL that it prints ends with #token=TOKEN
//! cargo run -p signal-client --example echo_bot -- ws://127.0.0.1:8080 demo TOKEN
//! cargo run -p signal-client --example echo_bot -- wss://signal.example.org demo eyJhbGciOi…
//! ```

use std::error::Error;

use serde_json::json;
use signal_client::{Client, JoinOptions, RoomEvent, Sender};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(room)) = (arguments.next(), arguments.next()) else {
        return Err("usage: echo_bot URL ROOM [TOKEN]".into());
    };
    let builder = Client::builder(url);
    let client = match arguments.next() {
        Some(token) => builder.fixed_token(token).connect()?,
        None => builder.connect()?,
    };
    echo(&client, &room).await?;
    client.close().await;
    Ok(())
}

/// Joins a room, and answers until the membership ends.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a bot that only answers heeds few of the events"
)]
pub(crate) async fn echo(client: &Client, room: &str) -> Result<(), Box<dyn Error>> {
    let options = JoinOptions::default().meta(&json!({"name": "echo"}));
    let mut room = client.join(room, options).await?;
    while let Some(event) = room.next().await {
        match event {
            RoomEvent::Joined { me, .. } => println!("joined {} as {}", room.name(), me.id),
            RoomEvent::PeerJoined { member, .. } => println!("{} is here", member.id),
            RoomEvent::Signal { from: Sender::Peer(peer), addressed: true, data, .. } => {
                // The echo is sent, also over a lost connection; a peer that has left gets none.
                drop(room.signal(&peer, &data));
            }
            RoomEvent::Left(because) => println!("{because}"),
            _ => {}
        }
    }
    Ok(())
}
