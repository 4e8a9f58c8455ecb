//! The floor: what carrying text between sockets costs when nothing else is done.
//!
//! Bare TCP, one thread. A connection begins with its name and its room; then each frame is a line with the
//! receiver, empty for all others in the room, and the text. Every frame has its length before it. There are
//! no WebSocket frames, no JSON, no tokens, no limits and no second process. A connection owns a small queue;
//! what is read goes through one buffer for all.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, Write as _};
use std::rc::Rc;

use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::LocalSet;

/// Bytes read at once, over all connections.
const SCRATCH: usize = 64 * 1024;

/// What waits for one connection.
#[derive(Default)]
struct Peer {
    queue: RefCell<Vec<u8>>,
    filled: Notify,
}

/// Everyone who is connected.
#[derive(Default)]
struct Exchange {
    peers: RefCell<HashMap<String, Rc<Peer>>>,
    rooms: RefCell<HashMap<String, Vec<Rc<Peer>>>>,
}

/// One connection as the exchange knows it, once it has said its name.
#[derive(Default)]
struct Registration {
    name: String,
    room: String,
    peer: Rc<Peer>,
}

/// Serves until the process ends.
///
/// # Errors
/// When no port can be had.
pub(crate) async fn serve() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    writeln!(io::stdout(), "{}", serde_json::json!({"event": "listening", "public": address}))?;
    let (exchange, scratch) = (Rc::<Exchange>::default(), Rc::new(RefCell::new(vec![0; SCRATCH])));
    LocalSet::new()
        .run_until(async {
            loop {
                let (stream, _) = listener.accept().await?;
                let (exchange, scratch) = (exchange.clone(), scratch.clone());
                tokio::task::spawn_local(async move {
                    let mut place = Registration::default();
                    // A connection that broke is one that ended.
                    let _ = connection(stream, &exchange, &scratch, &mut place).await;
                    exchange.forget(&place);
                });
            }
        })
        .await
}

async fn connection(
    mut stream: TcpStream,
    exchange: &Exchange,
    scratch: &RefCell<Vec<u8>>,
    place: &mut Registration,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut rest = Vec::new();
    let peer = place.peer.clone();
    loop {
        tokio::select! {
            ready = stream.ready(Interest::READABLE) => {
                ready?;
                if !read(&stream, exchange, &mut scratch.borrow_mut(), &mut rest, place)? {
                    return Ok(());
                }
            }
            () = peer.filled.notified() => {
                let queue = peer.queue.take();
                stream.write_all(&queue).await?;
            }
        }
    }
}

/// Hands on what has arrived; tells whether the connection goes on.
fn read(
    stream: &TcpStream,
    exchange: &Exchange,
    scratch: &mut [u8],
    rest: &mut Vec<u8>,
    place: &mut Registration,
) -> io::Result<bool> {
    match stream.try_read(scratch) {
        Ok(0) => Ok(false),
        Ok(count) => {
            let arrived = &scratch[..count];
            let mut text = if rest.is_empty() {
                arrived
            } else {
                rest.extend_from_slice(arrived);
                rest.as_slice()
            };
            while let Some((frame, after)) = split(text) {
                exchange.take(frame, place);
                text = after;
            }
            *rest = text.to_vec();
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
        Err(error) => Err(error),
    }
}

/// Takes the first whole frame off a text.
fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, after) = text.split_first_chunk::<4>()?;
    after.split_at_checked(u32::from_be_bytes(*length) as usize)
}

impl Exchange {
    /// Takes the first frame as a name, and carries every other one to whom it is for.
    fn take(&self, frame: &[u8], place: &mut Registration) {
        let at = frame.iter().position(|byte| *byte == b'\n').unwrap_or(frame.len());
        let (head, data) =
            (String::from_utf8_lossy(&frame[..at]), frame.get(at + 1..).unwrap_or_default());
        if place.name.is_empty() {
            place.name = head.into_owned();
            place.room = String::from_utf8_lossy(data).into_owned();
            self.peers.borrow_mut().insert(place.name.clone(), place.peer.clone());
            let mut rooms = self.rooms.borrow_mut();
            return rooms.entry(place.room.clone()).or_default().push(place.peer.clone());
        }
        if !head.is_empty() {
            return self.peers.borrow().get(&*head).into_iter().for_each(|peer| peer.forward(data));
        }
        let rooms = self.rooms.borrow();
        let others = rooms.get(&place.room).into_iter().flatten();
        others.filter(|peer| !Rc::ptr_eq(peer, &place.peer)).for_each(|peer| peer.forward(data));
    }

    fn forget(&self, place: &Registration) {
        self.peers.borrow_mut().remove(&place.name);
        if let Some(room) = self.rooms.borrow_mut().get_mut(&place.room) {
            room.retain(|peer| !Rc::ptr_eq(peer, &place.peer));
        }
    }
}

impl Peer {
    fn forward(&self, data: &[u8]) {
        let mut queue = self.queue.borrow_mut();
        queue.extend_from_slice(&u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes());
        queue.extend_from_slice(data);
        drop(queue);
        self.filled.notify_one();
    }
}
