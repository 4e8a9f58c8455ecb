//! Who and what occurs in the golden frames of a node.

use serde_json::value::RawValue;
use signal_protocol::calls::RingView;
use signal_protocol::presence::DeviceView;
use signal_protocol::server::{ErrorFrame, Limits, RefusedMessage, SelfView};
use signal_protocol::{
    CallEnd, CallId, Enforcement, ErrorCode, IceReason, IceServer, IceServers, LeaveReason,
    LeftReason, Mid, NodeId, PeerId, PeerView, Recovery, RoomId, Seq, ServerMessage, Subject,
};

pub(crate) fn seq(last: u64) -> Seq {
    Seq(1_795_366_362_000_000 + last)
}

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

/// Everything the server frames borrow from.
pub(crate) struct Cast {
    room: RoomId,
    call: CallId,
    video: Box<RawValue>,
    node: NodeId,
    ana: PeerId,
    bo: PeerId,
    cy: PeerId,
    bo_name: Subject,
    cy_name: Subject,
    bo_meta: Box<RawValue>,
    empty: Box<RawValue>,
    muted: Box<RawValue>,
    answer: Box<RawValue>,
    hand: Box<RawValue>,
    cursor: Box<RawValue>,
    limits: Limits,
    relays: IceServers,
    fresh: IceServers,
}

fn turn(urls: &[&str], username: &str, credential: &str) -> IceServer {
    IceServer {
        urls: urls.iter().map(|url| (*url).to_owned()).collect(),
        username: Some(username.to_owned()),
        credential: Some(credential.to_owned()),
    }
}

fn servers(ice_servers: Vec<IceServer>) -> IceServers {
    IceServers { ice_servers, ttl: 600, refresh_after: 300, enforcement: Enforcement::Allocate }
}

impl Cast {
    pub(crate) fn new() -> Self {
        let udp = "turn:turn.example.org:3478?transport=udp";
        let tls = "turns:turn.example.org:443?transport=tcp";
        let stun = IceServer {
            urls: vec!["stun:turn.example.org:3478".to_owned()],
            username: None,
            credential: None,
        };
        let id = |text: &str| text.parse::<PeerId>().unwrap();
        Self {
            room: "demo".parse().unwrap(),
            call: "Zk3vEjRWeJCrze8SNFZ4kA".parse().unwrap(),
            video: raw(r#"{"video":true}"#),
            node: "n_b7k2".parse().unwrap(),
            ana: id("p_RZiseU6qXKAcEML9utEZlg"),
            bo: id("p_u1BMnQ3PWsFKcSzG2oqhFg"),
            cy: id("p_9Zt0cY2fL7eWbR4nQ1sVdA"),
            bo_name: "bo".parse().unwrap(),
            cy_name: "cy".parse().unwrap(),
            bo_meta: raw(r#"{"name":"Bo"}"#),
            empty: raw("{}"),
            muted: raw(r#"{"name":"Bo","muted":true}"#),
            answer: raw(r#"{"session":"s2","description":{"type":"answer","sdp":"v=0\r\n"}}"#),
            hand: raw(r#"{"hand":"raised"}"#),
            cursor: raw(r#"{"cursor":[3,7]}"#),
            limits: Limits {
                message: 65536,
                rooms: 8,
                rate: 100,
                burst: 2000,
                unacked: 256,
                watches: 1000,
            },
            relays: servers(vec![turn(
                &[udp, tls],
                "1795366962:k3J9",
                "Tpz/nKkyvX/vMSLKvL4sbtBt8Vs=",
            )]),
            fresh: servers(vec![
                stun,
                turn(&[udp], "1795367262:k3J9", "rnVxUlT2ad3qpXZ6PMSrnRwh8ss="),
            ]),
        }
    }

    fn peer(id: &PeerId) -> PeerView<'_> {
        PeerView { id, n: None, user: None, polite: None, away: None, meta: None }
    }

    fn bo(&self) -> PeerView<'_> {
        PeerView {
            n: Some(3),
            user: Some(&self.bo_name),
            polite: Some(true),
            away: Some(false),
            meta: Some(&self.bo_meta),
            ..Self::peer(&self.bo)
        }
    }

    fn joined(&self, recovery: Recovery) -> ServerMessage<'_> {
        let (at, mid, peers, ice) = match recovery {
            Recovery::New => (42, 0, Some(vec![self.bo()]), Some(&self.relays)),
            Recovery::Replay => (77, 31, None, None),
            Recovery::Snapshot => {
                let away = PeerView {
                    n: Some(8),
                    polite: Some(false),
                    away: Some(true),
                    meta: Some(&self.empty),
                    ..Self::peer(&self.cy)
                };
                (77, 31, Some(vec![away]), None)
            }
        };
        let me = SelfView { id: &self.ana, n: 7 };
        ServerMessage::Joined {
            id: Some(1),
            room: &self.room,
            seq: seq(at),
            recovery,
            mid: Mid(mid),
            me,
            peers,
            ice,
            refused: Vec::new(),
        }
    }

    fn joined_with_a_refusal(&self) -> ServerMessage<'_> {
        ServerMessage::Joined {
            id: Some(1),
            room: &self.room,
            seq: seq(77),
            recovery: Recovery::Replay,
            mid: Mid(31),
            me: SelfView { id: &self.ana, n: 7 },
            peers: None,
            ice: None,
            refused: vec![RefusedMessage {
                mid: Mid(30),
                code: ErrorCode::PeerNotFound,
                message: "nobody of that id is in the room",
            }],
        }
    }

    pub(crate) fn membership(&self) -> Vec<(&'static str, ServerMessage<'_>)> {
        let room = &self.room;
        let newcomer = PeerView {
            n: Some(8),
            user: Some(&self.cy_name),
            polite: Some(false),
            meta: Some(&self.empty),
            ..Self::peer(&self.cy)
        };
        let away = PeerView { away: Some(true), ..Self::peer(&self.bo) };
        let meta = PeerView { meta: Some(&self.muted), ..Self::peer(&self.bo) };
        vec![
            ("joined", self.joined(Recovery::New)),
            ("joined-replay", self.joined(Recovery::Replay)),
            ("joined-refused", self.joined_with_a_refusal()),
            ("joined-snapshot", self.joined(Recovery::Snapshot)),
            ("peer_joined", ServerMessage::PeerJoined { room, seq: seq(43), peer: newcomer }),
            ("peer_updated-away", ServerMessage::PeerUpdated { room, seq: seq(44), peer: away }),
            ("peer_updated-meta", ServerMessage::PeerUpdated { room, seq: seq(45), peer: meta }),
            (
                "peer_left",
                ServerMessage::PeerLeft {
                    room,
                    seq: seq(46),
                    peer: &self.cy,
                    reason: LeaveReason::Left,
                },
            ),
            ("left", ServerMessage::Left { room, reason: LeftReason::Replaced }),
            (
                "reset",
                ServerMessage::Reset { room, seq: seq(90), mid: Mid(31), peers: vec![self.bo()] },
            ),
        ]
    }

    fn signal<'a>(&'a self, at: Option<u64>, data: &'a RawValue) -> ServerMessage<'a> {
        ServerMessage::Signal {
            room: &self.room,
            seq: at.map(seq),
            volatile: at.is_none(),
            from: self.bo.as_str(),
            to: (at == Some(47)).then_some(&self.ana),
            data,
        }
    }

    pub(crate) fn talk(&self) -> Vec<(&'static str, ServerMessage<'_>)> {
        let ice = Some(&self.fresh);
        vec![
            ("signal", self.signal(Some(47), &self.answer)),
            ("signal-room", self.signal(Some(48), &self.hand)),
            ("signal-volatile", self.signal(None, &self.cursor)),
            ("ack", ServerMessage::Ack { room: &self.room, mid: Mid(32), seq: seq(48) }),
            ("ice", ServerMessage::Ice { id: None, ice, reason: IceReason::Refresh }),
            (
                "ice-request",
                ServerMessage::Ice { id: Some(6), ice: None, reason: IceReason::Request },
            ),
        ]
    }

    pub(crate) fn presence(&self) -> Vec<(&'static str, ServerMessage<'_>)> {
        let user = &self.bo_name;
        let device = |id, state, since, meta| DeviceView { id, state, since, meta };
        let devices = vec![
            device(&self.bo, "online", 1_795_366_362_000, Some(&*self.bo_meta)),
            device(&self.cy, "away", 1_795_366_360_000, None),
        ];
        let state = |state, since, devices| {
            let since = Some(since);
            ServerMessage::Presence { user, state, since, devices }
        };
        let lost = ErrorFrame {
            user: Some(user),
            after: Some(500),
            ..ErrorFrame::new(ErrorCode::Unavailable, "the room log is not reachable")
        };
        vec![
            ("online", ServerMessage::Online { id: Some(9), device: &self.ana }),
            ("offline", ServerMessage::Offline { reason: LeftReason::Replaced }),
            ("presence", state("online", 1_795_366_362_000, devices)),
            ("presence-offline", state("offline", 1_795_366_392_000, Vec::new())),
            ("error-user", ServerMessage::Error(lost)),
        ]
    }

    pub(crate) fn calls(&self) -> Vec<(&'static str, ServerMessage<'_>)> {
        let (call, room) = (&self.call, &self.room);
        let data = Some(&*self.video);
        let ring = RingView { call, from: &self.bo_name, room, within: 30_000, data };
        let (device, reason) = (&self.bo, CallEnd::AnsweredElsewhere);
        vec![
            ("ring", ServerMessage::Ring(ring)),
            ("ringing", ServerMessage::Ringing { id: Some(13), call, room, devices: 2 }),
            ("call_accepted", ServerMessage::CallAccepted { id: None, call, room, device }),
            ("call_ended", ServerMessage::CallEnded { id: None, call, reason }),
        ]
    }

    pub(crate) fn replies(&self) -> Vec<(&'static str, ServerMessage<'_>)> {
        let welcome = ServerMessage::Welcome {
            node: &self.node,
            ping: 10,
            grace: 30,
            features: &["resume", "volatile", "ice", "presence", "call"],
            limits: &self.limits,
        };
        let forbidden =
            ErrorFrame::new(ErrorCode::Forbidden, "the token does not open room 'demo'");
        let full = "room 'demo' holds 2 of 2 members; a seat of an absent member may become free";
        let order = "the next message is expected to have mid 7";
        let lost = "this node has lost contact with Redis";
        let error = |frame| ServerMessage::Error(frame);
        vec![
            ("welcome", welcome),
            ("ok", ServerMessage::Ok { id: Some(5) }),
            ("error", error(ErrorFrame { id: Some(5), ..forbidden })),
            (
                "error-after",
                error(ErrorFrame {
                    id: Some(1),
                    after: Some(12_000),
                    ..ErrorFrame::new(ErrorCode::RoomFull, full)
                }),
            ),
            (
                "error-mid",
                error(ErrorFrame {
                    mid: Some(Mid(9)),
                    room: Some(&self.room),
                    expected: Some(Mid(7)),
                    ..ErrorFrame::new(ErrorCode::OutOfOrder, order)
                }),
            ),
            ("error-node", error(ErrorFrame::new(ErrorCode::Unavailable, lost))),
            ("goaway", ServerMessage::Goaway { reason: "drain", after: 800, within: 5000 }),
            ("pong", ServerMessage::Pong),
        ]
    }
}
