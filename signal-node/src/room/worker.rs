//! The one task that knows the order of a room on this node.

use std::collections::HashMap;
use std::sync::Arc;

use signal_protocol::server::ErrorFrame;
use signal_protocol::{ErrorCode, Mid, PeerId, RoomId, Seq, ServerMessage, limits};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::Delivery;
use super::calls::{Calls, Command, JoinCommand, Kept, Landed, Origin, Reply};
use super::fanout;
use super::members::Members;
use super::outbox::Mark;
use super::outcome::Arrival;
use super::registry::{RoomSettings, Rooms};
use super::timers::{Due, Timers};
use super::track::{Next, Track};
use crate::log::{Batch, Entry, Feed, FeedEvent, Op, RoomLog, SocketId};
use crate::metrics::Metrics;

/// After this many repetitions of a call those who wait behind it are told that Redis is away.
const PATIENCE: u32 = 3;

/// Told to who waits while calls fail.
const UNREACHABLE: &str = "the room log is not reachable";

/// Milliseconds after which a member with a full window may go on.
const WINDOW_PAUSE: u64 = 100;

/// One room on this node.
pub(super) struct Worker {
    pub(super) room: RoomId,
    pub(super) settings: Arc<RoomSettings>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) members: Members,
    pub(super) calls: Calls,
    pub(super) track: Track,
    pub(super) timers: Timers,
    /// Joins whose outcome is known and whose entry has not been reached.
    pub(super) arrivals: HashMap<Seq, Arrival>,
    log: Arc<dyn RoomLog>,
    commands: mpsc::Receiver<Command>,
    /// Who waits until nothing is under way.
    settling: Vec<oneshot::Sender<()>>,
    /// What the log has grown by since it was last trimmed.
    grown: (usize, usize),
}

impl Worker {
    pub(super) fn new(
        room: RoomId,
        log: Arc<dyn RoomLog>,
        settings: Arc<RoomSettings>,
        metrics: Arc<Metrics>,
        commands: mpsc::Receiver<Command>,
    ) -> Self {
        Self {
            members: Members::default(),
            calls: Calls::new(log.clone(), room.clone()),
            track: Track::new(log.clone(), room.clone()),
            timers: Timers::default(),
            arrivals: HashMap::new(),
            settling: Vec::new(),
            grown: (0, 0),
            room,
            log,
            settings,
            metrics,
            commands,
        }
    }

    /// Works until the room has had no members here for a while.
    pub(super) async fn run(mut self, rooms: Arc<Rooms>) {
        match self.log.open(&self.room).await {
            Ok(feed) => self.work(feed, &rooms).await,
            Err(error) => {
                warn!(room.id = %self.room, %error, "room {} could not be subscribed", self.room);
            }
        }
        self.give_up(&rooms);
    }

    async fn work(&mut self, mut feed: Feed, rooms: &Rooms) {
        loop {
            let due = self.timers.next();
            tokio::select! {
                event = feed.next() => match event {
                    Some(event) => self.hear(event),
                    None => return,
                },
                landed = self.calls.landed() => self.landed(landed),
                () = self.track.read() => {}
                command = self.commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return,
                },
                () = until(due) => if self.tick(rooms) { return },
            }
            self.advance();
            if self.calls.is_idle() {
                for waiting in self.settling.drain(..) {
                    // Who does not wait any more need not be told.
                    let _ = waiting.send(());
                }
            }
            self.timers.retire(self.is_idle());
        }
    }

    fn is_idle(&self) -> bool {
        self.members.is_empty() && self.arrivals.is_empty() && self.calls.is_idle()
    }

    /// Answers whoever is still waiting, and lets go of the room.
    fn give_up(&mut self, rooms: &Rooms) {
        loop {
            while let Ok(command) = self.commands.try_recv() {
                refuse(&self.room, command, ErrorCode::Unavailable, UNREACHABLE);
            }
            if self.commands.is_closed() || rooms.retire(&self.room, &mut self.commands) {
                break;
            }
        }
        self.lose_members();
        debug!(room.id = %self.room, "room {} has no members here any more", self.room);
    }

    fn hear(&mut self, event: FeedEvent) {
        match event {
            FeedEvent::Batch(batch) => self.track.arrived(batch),
            FeedEvent::Volatile(volatile) => {
                fanout::tell(&mut self.members, &self.room, &volatile);
            }
            FeedEvent::Gap => {
                self.metrics.gaps.inc();
                self.track.missed();
            }
        }
    }

    fn landed(&mut self, landed: Landed) {
        match landed {
            Landed::Answered(answers) => {
                for (origin, outcome) in answers {
                    self.outcome(origin, outcome);
                }
            }
            Landed::Failed(origins, error) => {
                warn!(room.id = %self.room, %error, "a call for room {} failed", self.room);
                for origin in origins {
                    self.decline(origin, ErrorCode::Internal, "the room log gave no usable answer");
                }
            }
            Landed::Repeated(count, error) => self.repeated(count, &error),
        }
    }

    fn repeated(&mut self, count: u32, error: &crate::log::LogError) {
        self.metrics.log_repeats.inc();
        debug!(room.id = %self.room, %error, count, "a call for room {} is made again", self.room);
        if count < PATIENCE {
            return;
        }
        let impatient =
            |origin: &Origin| matches!(origin, Origin::Join { .. } | Origin::Kept { .. });
        for origin in self.calls.withdraw(impatient) {
            self.decline(origin, ErrorCode::Unavailable, UNREACHABLE);
        }
    }

    /// Tells the one who waits that nothing happened.
    fn decline(&mut self, origin: Origin, code: ErrorCode, message: &str) {
        let error = ErrorFrame::new(code, message);
        if !matches!(origin, Origin::Kept { .. } | Origin::Housekeeping) {
            self.metrics.refused(code);
        }
        match origin {
            Origin::Join { reply, .. } => {
                reply.refuse(error, Some(Mark::Refused(self.room.clone())));
            }
            Origin::Leave { reply, .. } | Origin::Kick { reply } => reply.refuse(error, None),
            Origin::Kept { peer, socket, mid, .. } => {
                self.answered(&peer, socket);
                self.refuse_kept(&peer, socket, mid, error);
            }
            Origin::Housekeeping => {}
        }
    }

    /// Notes that a kept message is not on its way any more.
    pub(super) fn answered(&mut self, peer: &PeerId, socket: SocketId) {
        if let Some(member) = self.members.of_socket(peer, socket) {
            member.answered();
        }
    }

    /// Answers a kept message with an error.
    pub(super) fn refuse_kept(
        &mut self,
        peer: &PeerId,
        socket: SocketId,
        mid: Mid,
        error: ErrorFrame<'_>,
    ) {
        self.metrics.refused(error.code);
        if let Some(member) = self.members.of_socket(peer, socket) {
            let error = ErrorFrame { mid: Some(mid), room: Some(&self.room), ..error };
            member.outbox.hand(ServerMessage::Error(error).to_json());
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Join(join) => self.join(*join),
            Command::Kept { peer, socket, mid, what } => self.kept(peer, socket, mid, what),
            Command::Tell(volatile) => self.tell(volatile),
            Command::Leave { peer, socket, reply } => self.leave(&peer, socket, reply),
            Command::Kick { peer, ban, reply } => {
                self.calls.push(Op::Kick { peer, ban }, Origin::Kick { reply });
            }
            Command::Settle(waiting) => self.settling.push(waiting),
            Command::Detach { peer, socket } => {
                if self.members.of_socket(&peer, socket).is_some()
                    && let Some(member) = self.members.remove(&peer)
                {
                    self.calls.push(Op::Detach { by: member.claim }, Origin::Housekeeping);
                }
            }
        }
    }

    fn join(&mut self, command: JoinCommand) {
        let JoinCommand { join, ice, reply } = command;
        let origin = Origin::Join { peer: join.peer.clone(), socket: join.socket, ice, reply };
        if self.calls.is_failing() {
            self.decline(origin, ErrorCode::Unavailable, UNREACHABLE);
        } else {
            self.calls.push(Op::Join(Box::new(join)), origin);
        }
    }

    fn kept(&mut self, peer: PeerId, socket: SocketId, mid: Mid, what: Kept) {
        let failing = self.calls.is_failing();
        let Some(member) = self.members.of_socket(&peer, socket) else { return };
        if failing || member.unacked() >= limits::UNACKED {
            let error = if failing {
                ErrorFrame::new(ErrorCode::Unavailable, UNREACHABLE)
            } else {
                let text = "too many messages wait for their ack";
                ErrorFrame {
                    after: Some(WINDOW_PAUSE),
                    ..ErrorFrame::new(ErrorCode::RateLimited, text)
                }
            };
            return self.refuse_kept(&peer, socket, mid, error);
        }
        member.take();
        let by = member.claim.clone();
        let (op, refusal) = match what {
            Kept::Signal { to, data } => (Op::Signal { by, mid, to, data }, None),
            Kept::Update(meta) => (Op::Update { by, mid, meta }, None),
            Kept::Refuse(code, message) => (Op::Refuse { by, mid, code }, Some(message)),
        };
        self.calls.push(op, Origin::Kept { peer, socket, mid, refusal });
    }

    fn tell(&self, volatile: crate::log::Volatile) {
        let (log, room) = (self.log.clone(), self.room.clone());
        tokio::spawn(async move {
            if let Err(error) = log.tell(&room, volatile).await {
                debug!(room.id = %room, %error, "a volatile signal in room {room} was lost");
            }
        });
    }

    fn leave(&mut self, peer: &PeerId, socket: SocketId, reply: Reply) {
        let Some(member) = self.members.of_socket(peer, socket) else {
            return reply.ok(Some(Mark::Left(self.room.clone())));
        };
        let by = member.claim.clone();
        self.calls.push(Op::Leave { by }, Origin::Leave { peer: peer.clone(), reply });
    }

    /// Delivers everything that can be delivered now.
    fn advance(&mut self) {
        loop {
            match self.track.next() {
                Next::Batch(batch) if self.awaits_outcome(&batch) => {
                    return self.track.put_back(batch);
                }
                Next::Batch(batch) => self.deliver(&batch),
                Next::Lost => self.lose_members(),
                Next::Nothing => return,
            }
        }
    }

    /// Tells whether the batch holds a join of ours whose outcome is not known yet; it brings the roster.
    fn awaits_outcome(&self, batch: &Batch) -> bool {
        batch.entries.iter().any(|entry| {
            matches!(entry, Entry::Joined { peer, node, .. }
                if *node == self.settings.node && self.calls.is_joining(peer))
        })
    }

    fn deliver(&mut self, batch: &Batch) {
        for (seq, entry) in batch.numbered() {
            self.track.delivered(seq);
            self.meet(seq, entry);
            fanout::deliver(&mut self.members, &self.room, seq, entry);
            self.members.count(&self.room, seq);
        }
        self.grown = (self.grown.0 + batch.entries.len(), self.grown.1 + batch.bytes());
        let keep = &self.settings.retention;
        if self.grown.0 > keep.length / 8 || self.grown.1 > keep.bytes / 8 {
            self.tend();
        }
        self.timers.position();
    }

    pub(super) fn tend(&mut self) {
        self.grown = (0, 0);
        self.calls.push(Op::Tend, Origin::Housekeeping);
    }

    /// What was missed cannot be told: the members here have to come back for a snapshot.
    fn lose_members(&mut self) {
        for member in self.members.drain() {
            let error = ErrorFrame::new(ErrorCode::Unavailable, "the room's history was lost here");
            let frame = ServerMessage::Error(error).to_json();
            member.outbox.hand(Delivery::from(frame).marked(Mark::Lost(self.room.clone())));
            // Its session will say that the socket is gone, but then it is no member here any more.
            self.calls.push(Op::Detach { by: member.claim }, Origin::Housekeeping);
        }
    }

    /// Does what is due; tells whether the room has ended here.
    fn tick(&mut self, rooms: &Rooms) -> bool {
        for due in self.timers.due(Instant::now()) {
            let position = self.track.position();
            match due {
                Due::Ack => self.members.ack_owed(&self.room, position),
                Due::Position => self.members.tell_position(&self.room, position),
                Due::Tend => self.tend(),
                Due::Expire => {
                    let grace = self.settings.grace;
                    self.calls.push(Op::Expire { grace }, Origin::Housekeeping);
                }
                Due::Retire => return rooms.retire(&self.room, &mut self.commands),
            }
        }
        if !self.members.is_empty() {
            self.timers.tend(self.settings.retention.room / 3);
        }
        false
    }
}

/// Waits until then; for ever if there is no appointment.
async fn until(due: Option<Instant>) {
    match due {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Answers a command that nobody will carry out.
fn refuse(room: &RoomId, command: Command, code: ErrorCode, message: &str) {
    let error = ErrorFrame::new(code, message);
    match command {
        Command::Join(join) => join.reply.refuse(error, Some(Mark::Refused(room.clone()))),
        Command::Leave { reply, .. } => reply.ok(Some(Mark::Left(room.clone()))),
        Command::Kick { reply, .. } => reply.refuse(error, None),
        Command::Kept { .. } | Command::Tell(_) | Command::Settle(_) | Command::Detach { .. } => {}
    }
}
