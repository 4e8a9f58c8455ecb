//! Clients of every server that is measured, as cheap as one core needs them.
//!
//! Raw frames on purpose, and not `signal-client`: five servers are compared by the same few lines, ten thousand clients
//! share a core with what they measure, and a client that reconnects and resends would hide what a server loses.

mod dialect;
mod ticket;
mod wire;

pub(crate) use dialect::Dialect;
pub(crate) use ticket::PlannedConnection;
use wire::Wire;

use crate::problem::Problem;

/// One connected client in its room.
pub(crate) struct Client {
    wire: Wire,
    dialect: Dialect,
    room: String,
    /// How the server calls it.
    pub(crate) id: String,
    /// Its count of kept messages.
    mid: u64,
    /// Whether what it says is kept in the log, where there is one.
    pub(crate) keeps: bool,
    /// Where its room's log was when it came in, where there is one.
    pub(crate) seq: u64,
}

impl Client {
    /// Connects and enters the room.
    pub(crate) async fn open(
        dialect: Dialect,
        ticket: &PlannedConnection,
    ) -> Result<Self, Problem> {
        let mut wire =
            Wire::connect(dialect.upgrade(ticket)?, ticket.door, ticket.source()).await?;
        let (id, seq) = dialect.enter(&mut wire, ticket).await?;
        Ok(Self { wire, dialect, room: ticket.room.clone(), id, mid: 0, keeps: true, seq })
    }

    /// Enters further rooms, where the server lets a connection be in several.
    pub(crate) async fn enter_more(&mut self, rooms: Vec<String>) -> Result<(), Problem> {
        self.dialect.enter_more(&mut self.wire, rooms).await
    }

    /// Writes a message to one peer, or to all others, and sends it with the next [`Client::flush`].
    pub(crate) async fn feed(&mut self, to: Option<&str>, data: &str) -> Result<(), Problem> {
        self.mid += u64::from(self.keeps);
        let mid = self.keeps.then_some(self.mid);
        let frame = self.dialect.frame(&self.room, mid, to, data);
        self.wire.feed(frame).await
    }

    /// Tells whether its server sends to all others of a room by itself.
    pub(crate) fn broadcasts(&self) -> bool {
        self.dialect.broadcasts()
    }

    /// Sends what was written.
    pub(crate) async fn flush(&mut self) -> Result<(), Problem> {
        self.wire.flush().await
    }

    /// Waits for the next message of a peer; what servers ask in between is answered. Cancel-safe but for answers.
    pub(crate) async fn receive(&mut self) -> Result<String, Problem> {
        loop {
            let text = self.wire.next().await?;
            match self.dialect.classify(&text) {
                dialect::ServerText::Message => return Ok(text),
                dialect::ServerText::Asked(answer) => {
                    self.wire.feed(answer.to_owned()).await?;
                    self.wire.flush().await?;
                }
                dialect::ServerText::Other => {}
            }
        }
    }
}
