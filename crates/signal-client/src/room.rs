//! A room: its events, and what may be said in it.

use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use serde::Serialize;
use signal_protocol::limits::BAN_SECONDS;
use signal_protocol::{PeerId, RoomId};
use tokio::sync::{mpsc, oneshot};

use crate::command::{Command, MOST_COMMANDS};
use crate::core::{MemberId, Payload, RoomEvent, Roster, SendError};
use crate::queue::EventQueue;

/// A message on its way, as a future: `Ok` once it has taken its place in the room's log, from where it reaches each
/// member that it is for exactly once.
///
/// Dropping it changes nothing: the message is sent, and sent again after a lost connection, all the same.
#[derive(Debug)]
#[must_use = "a message may be refused; say `drop(…)` where that does not matter"]
pub struct Pending(Vec<Waiting>);

#[derive(Debug)]
enum Waiting {
    For(oneshot::Receiver<Result<(), SendError>>),
    Done(Result<(), SendError>),
}

impl Pending {
    fn failed(error: SendError) -> Self {
        Self(vec![Waiting::Done(Err(error))])
    }
}

impl Future for Pending {
    type Output = Result<(), SendError>;

    /// Becomes ready once all of its messages are; the first error counts.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        for waiting in &mut self.0 {
            if let Waiting::For(answer) = waiting {
                let result = ready!(Pin::new(answer).poll(context));
                *waiting = Waiting::Done(result.unwrap_or(Err(SendError::Ended)));
            }
        }
        let error = self.0.iter().find_map(|waiting| match waiting {
            Waiting::Done(Err(error)) => Some(error.clone()),
            Waiting::Done(Ok(())) | Waiting::For(_) => None,
        });
        Poll::Ready(error.map_or(Ok(()), Err))
    }
}

/// Speaks in a room; a clone of it may be used by another task than the one that reads the events.
#[derive(Clone, Debug)]
pub struct RoomHandle {
    name: RoomId,
    member: MemberId,
    commands: mpsc::Sender<Command>,
}

impl RoomHandle {
    pub(crate) fn new(name: RoomId, member: MemberId, commands: mpsc::Sender<Command>) -> Self {
        Self { name, member, commands }
    }

    /// Returns the room's name.
    #[must_use]
    pub fn name(&self) -> &RoomId {
        &self.name
    }

    /// Sends to one member: in order, exactly once, also over a lost connection or a node that ends.
    pub fn signal(&self, to: &PeerId, data: &(impl Serialize + ?Sized)) -> Pending {
        self.signal_to([to], data)
    }

    /// Sends to each of several members.
    pub fn signal_to<'a>(
        &self,
        to: impl IntoIterator<Item = &'a PeerId>,
        data: &(impl Serialize + ?Sized),
    ) -> Pending {
        let data = match json(data) {
            Ok(data) => data,
            Err(error) => return Pending::failed(error),
        };
        let each = to.into_iter().map(|to| self.push(Some(to.clone()), data.clone()));
        Pending(each.collect())
    }

    /// Sends to everyone else in the room, as [`RoomHandle::signal`] does.
    pub fn broadcast(&self, data: &(impl Serialize + ?Sized)) -> Pending {
        match json(data) {
            Ok(data) => Pending(vec![self.push(None, data)]),
            Err(error) => Pending::failed(error),
        }
    }

    fn push(&self, to: Option<PeerId>, data: Payload) -> Waiting {
        let member = self.member;
        self.ask(|answer| Command::Signal { member, to, data, answer })
    }

    fn ask(&self, make: impl FnOnce(oneshot::Sender<Result<(), SendError>>) -> Command) -> Waiting {
        let (answer, answered) = oneshot::channel();
        match self.commands.try_send(make(answer)) {
            Ok(()) => Waiting::For(answered),
            Err(mpsc::error::TrySendError::Full(_)) => {
                Waiting::Done(Err(SendError::Full(MOST_COMMANDS)))
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Waiting::Done(Err(SendError::Ended)),
        }
    }

    /// Sends to one member or to all others, once and perhaps not at all: for what is worthless a moment later, such as
    /// the place of a cursor. Dropped while there is no connection.
    ///
    /// # Errors
    /// [`SendError::Json`] if the data has no form in JSON.
    pub fn volatile(
        &self,
        to: Option<&PeerId>,
        data: &(impl Serialize + ?Sized),
    ) -> Result<(), SendError> {
        let (member, to, data) = (self.member, to.cloned(), json(data)?);
        // A queue that is full is one of the ways in which it may be lost.
        let _ = self.commands.try_send(Command::Volatile { member, to, data });
        Ok(())
    }

    /// Replaces this member's `meta`, an object, as a whole; in order with signals.
    pub fn update(&self, meta: &(impl Serialize + ?Sized)) -> Pending {
        let member = self.member;
        match json(meta) {
            Ok(meta) => Pending(vec![self.ask(|answer| Command::Update { member, meta, answer })]),
            Err(error) => Pending::failed(error),
        }
    }

    /// Removes another member, with the right `moderate`, and keeps its subject out for a while, a day at most.
    ///
    /// # Errors
    /// When the node refuses, or the connection is lost before it answers.
    pub async fn kick(&self, peer: &PeerId, ban: Option<Duration>) -> Result<(), SendError> {
        let (member, peer) = (self.member, peer.clone());
        let ban = ban.map(|ban| ban.as_secs().min(BAN_SECONDS));
        Pending(vec![self.ask(|answer| Command::Kick { member, peer, ban, answer })]).await
    }
}

fn json(value: &(impl Serialize + ?Sized)) -> Result<Payload, SendError> {
    Payload::from_value(value).map_err(|error| SendError::Json(error.to_string()))
}

/// A room that this client is a member of. Dropping it leaves the room.
///
/// Read its events: a room whose events nobody reads holds up the whole client once a thousand of them wait.
pub struct Room {
    handle: RoomHandle,
    queue: Arc<EventQueue>,
    roster: Roster,
}

impl Room {
    pub(crate) fn new(handle: RoomHandle, queue: Arc<EventQueue>) -> Self {
        Self { handle, queue, roster: Roster::default() }
    }

    /// Waits for the next event; `None` once the membership has ended for good, after [`RoomEvent::Left`]. The first one
    /// is [`RoomEvent::Joined`].
    ///
    /// Dropping the future loses no event.
    pub async fn next(&mut self) -> Option<RoomEvent> {
        let event = self.queue.next().await?;
        self.roster.apply(&event);
        Some(event)
    }

    /// Returns the other members, as of the last event that [`Room::next`] returned.
    #[must_use]
    pub fn members(&self) -> &Roster {
        &self.roster
    }

    /// Returns a handle to speak in the room from other tasks.
    #[must_use]
    pub fn handle(&self) -> RoomHandle {
        self.handle.clone()
    }

    /// Leaves for good, and waits until the node has confirmed that or the connection is gone. Dropping the future leaves
    /// all the same.
    pub async fn leave(self) {
        let (answer, answered) = oneshot::channel();
        let member = self.handle.member;
        let leave = Command::Leave { member, answer: Some(answer) };
        if self.handle.commands.send(leave).await.is_ok() {
            // Without a connection, or with a driver that has ended, nobody is there to confirm it.
            let _ = answered.await;
        }
    }
}

impl Deref for Room {
    type Target = RoomHandle;

    fn deref(&self) -> &RoomHandle {
        &self.handle
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // The driver leaves an abandoned room at its next event, if it takes no command now.
        self.queue.abandon();
        let leave = Command::Leave { member: self.handle.member, answer: None };
        let _ = self.handle.commands.try_send(leave);
    }
}
