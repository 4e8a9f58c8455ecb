//! The WebSocket layer alone: an echo over our codec beside an echo over bare TCP.
//!
//! A client writes some messages, waits for all of them to come back, and begins again. The server answers what it
//! has read before it reads on, as a session does. CPU is the server's.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use ws_codec::{Frame, Message, WebSocket, WebSocketError};

use crate::problem::Problem;
use crate::servers::echo_server;

/// Connections at a time.
const CONNECTIONS: usize = 16;
/// Bytes of a message: a candidate.
const PAYLOAD: usize = 200;
/// The longest message, in bytes.
const LIMIT: usize = 64 * 1024;
/// Bytes read at once over bare TCP.
const SCRATCH: usize = 16 * 1024;
/// Before it counts.
const WARM_UP: Duration = Duration::from_millis(300);

/// What carries the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Frames of our codec.
    WebSocket,
    /// Bytes as they are.
    Tcp,
}

impl Transport {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Tcp => "tcp",
        }
    }

    /// A client's message, and how many bytes come back for it.
    fn message(self) -> (Vec<u8>, usize) {
        match self {
            Self::Tcp => (vec![b'x'; PAYLOAD], PAYLOAD),
            Self::WebSocket => {
                let length = u16::try_from(PAYLOAD).expect("it is short").to_be_bytes();
                let head = [&[0x81, 0xfe][..], &length, &[0; 4]].concat();
                ([head, vec![b'x'; PAYLOAD]].concat(), PAYLOAD + 4)
            }
        }
    }
}

/// Serves until the process ends.
///
/// # Errors
/// When no port can be had.
pub(crate) async fn serve(carrier: &str) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    writeln!(io::stdout(), "{}", serde_json::json!({"event": "listening", "public": address}))?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // A connection that broke is one that ended.
        if carrier == Transport::WebSocket.name() {
            tokio::spawn(async { echo_frames(stream).await.unwrap_or_default() });
        } else {
            tokio::spawn(async { echo_bytes(stream).await.unwrap_or_default() });
        }
    }
}

async fn echo_bytes(mut stream: TcpStream) -> io::Result<()> {
    let mut scratch = vec![0; SCRATCH];
    loop {
        match stream.read(&mut scratch).await? {
            0 => return Ok(()),
            read => stream.write_all(&scratch[..read]).await?,
        }
    }
}

async fn echo_frames(stream: TcpStream) -> Result<(), WebSocketError> {
    let mut socket = WebSocket::new(stream, &[], LIMIT);
    loop {
        let mut next = Some(socket.recv().await?);
        while let Some(message) = next {
            if let Message::Text(text) = message {
                socket.queue(&Frame::Text(text.as_bytes()));
            }
            next = socket.recv().now_or_never().transpose()?;
        }
        socket.flush().await?;
    }
}

/// Returns the server's CPU per echo in µs, with `depth` messages under way on each connection.
pub(crate) async fn measure(
    carrier: Transport,
    depth: usize,
    window: Duration,
) -> Result<f64, Problem> {
    let server = echo_server::start(carrier.name()).await?;
    let address = server.address();
    let mut clients = JoinSet::new();
    let begin = Instant::now() + WARM_UP;
    for _ in 0..CONNECTIONS {
        clients.spawn(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            echoes(stream, carrier, depth, begin, window).await
        });
    }
    tokio::time::sleep_until(begin.into()).await;
    let before = server.cost()?;
    tokio::time::sleep_until((begin + window).into()).await;
    let cost = server.cost()?.cpu - before.cpu;
    let counts = clients.join_all().await.into_iter().collect::<io::Result<Vec<u32>>>()?;
    let echoes: f64 = counts.into_iter().map(f64::from).sum();
    if echoes > 0.0 { Ok(cost * 1e6 / echoes) } else { Err(Problem::Nothing(carrier.name())) }
}

/// Counts the echoes of one connection within the window.
async fn echoes(
    mut stream: TcpStream,
    carrier: Transport,
    depth: usize,
    begin: Instant,
    window: Duration,
) -> io::Result<u32> {
    let (message, back) = carrier.message();
    let (batch, mut answer) = (message.repeat(depth), vec![0; back * depth]);
    let mut count = 0;
    loop {
        stream.write_all(&batch).await?;
        stream.read_exact(&mut answer).await?;
        let now = Instant::now();
        if now >= begin + window {
            return Ok(count);
        }
        if now >= begin {
            count += u32::try_from(depth).expect("it is small");
        }
    }
}
