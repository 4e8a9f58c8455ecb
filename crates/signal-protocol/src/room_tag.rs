//! What is no room of `signal.v1`, and lies in Redis beside those.

/// The kinds of rooms that lie in a name space of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoomTag {
    /// A topic that everybody may publish to: y-webrtc and trystero.
    Topic,
    /// The id of one `PeerJS` client.
    PeerJs,
    /// The room that a client of matchbox names.
    Matchbox,
    /// The signals for one client of matchbox.
    MatchboxPeer,
    /// A room of an application of Socket.IO.
    SocketIo,
    /// Where one node hears of the others. It has no members.
    Node,
    /// Where one user of `signal.v1` is reached: its members are the devices that are online.
    Inbox,
}

impl RoomTag {
    pub(crate) const ALL: [Self; 7] = [
        Self::Topic,
        Self::PeerJs,
        Self::Matchbox,
        Self::MatchboxPeer,
        Self::SocketIo,
        Self::Node,
        Self::Inbox,
    ];

    /// How the names of its rooms begin.
    pub(crate) const fn prefix(self) -> &'static str {
        match self {
            Self::Topic => "~y.",
            Self::PeerJs => "~p.",
            Self::Matchbox => "~m.",
            Self::MatchboxPeer => "~n.",
            Self::SocketIo => "~s.",
            Self::Node => "~x.",
            Self::Inbox => "~u.",
        }
    }
}
