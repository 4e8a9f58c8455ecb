//! Why something was refused, and what to do next.

use serde::{Deserialize, Serialize};

/// The reaction of a client to a close, which the hundreds digit of the code determines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseAction {
    /// 40xx: come back after a jittered pause.
    Resume,
    /// 41xx: come back with a fresh token.
    Token,
    /// 42xx: stay away.
    Stop,
}

/// Why the node ended a connection (RFC 6455 §7.4.2, private range).
///
/// The hundreds digit is a promise to every client ever shipped: see [`CloseAction`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum CloseCode {
    /// The node is about to stop; another one takes over.
    Drain = 4000,
    /// Nothing was heard for 2.5 ping intervals.
    PingTimeout = 4001,
    /// The client read too slowly for its room.
    SlowConsumer = 4002,
    /// The node cannot serve this connection any more.
    Unavailable = 4003,
    /// The rate was exceeded without a break for 10 s.
    RateLimit = 4004,
    /// The token is not one that opens this node.
    Unauthorized = 4100,
    /// The token has ended.
    TokenExpired = 4101,
    /// The client does not speak `signal.v1`.
    ProtocolError = 4200,
    /// No valid `hello` came within 5 s.
    HelloTimeout = 4201,
    /// A newer socket holds the last membership of this one.
    Replaced = 4202,
    /// The last membership of this socket was ended by a moderator.
    Kicked = 4203,
    /// Pages of this origin may not connect (RFC 6455 §10.2). Said after the upgrade, since a page sees no HTTP status.
    OriginRefused = 4204,
}

impl CloseCode {
    /// Every code, in order.
    pub const ALL: [Self; 12] = [
        Self::Drain,
        Self::PingTimeout,
        Self::SlowConsumer,
        Self::Unavailable,
        Self::RateLimit,
        Self::Unauthorized,
        Self::TokenExpired,
        Self::ProtocolError,
        Self::HelloTimeout,
        Self::Replaced,
        Self::Kicked,
        Self::OriginRefused,
    ];

    /// Returns the number on the wire.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// Returns the name used in the close reason, the logs and the metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::PingTimeout => "ping_timeout",
            Self::SlowConsumer => "slow_consumer",
            Self::Unavailable => "unavailable",
            Self::RateLimit => "rate_limit",
            Self::Unauthorized => "unauthorized",
            Self::TokenExpired => "token_expired",
            Self::ProtocolError => "protocol_error",
            Self::HelloTimeout => "hello_timeout",
            Self::Replaced => "replaced",
            Self::Kicked => "kicked",
            Self::OriginRefused => "origin_refused",
        }
    }

    /// Returns what the client is to do.
    #[must_use]
    pub const fn action(self) -> CloseAction {
        match self.number() / 100 {
            40 => CloseAction::Resume,
            41 => CloseAction::Token,
            _ => CloseAction::Stop,
        }
    }
}

/// Makes [`ErrorCode`] and its name from one list.
macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal),+ $(,)?) => {
        /// Why a message was refused (`error.code`). The connection lives on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum ErrorCode {
            $($(#[$doc])* $name),+
        }

        impl ErrorCode {
            /// Every code, in the order of `docs/PROTOCOL.md`.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Returns the name on the wire.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text),+
                }
            }

            /// Finds the code of a name on the wire.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|code| code.name() == name)
            }
        }
    };
}

error_codes! {
    /// The frame is not JSON, or a field is missing or wrong.
    BadRequest = "bad_request",
    /// No such `type`.
    Unsupported = "unsupported",
    /// Said before a valid `hello`.
    Unauthorized = "unauthorized",
    /// The token in `hello` or `auth` has ended.
    TokenExpired = "token_expired",
    /// The token does not allow this.
    Forbidden = "forbidden",
    /// This socket is not in that room.
    NotJoined = "not_joined",
    /// This socket is in that room already.
    AlreadyJoined = "already_joined",
    /// Every seat is taken.
    RoomFull = "room_full",
    /// The room takes no new members for now.
    RoomLocked = "room_locked",
    /// Nobody of that id is in the room.
    PeerNotFound = "peer_not_found",
    /// `meta` is larger than 4 KiB.
    TooLarge = "too_large",
    /// Too many rooms on this socket, or too many members of one subject in the room.
    LimitExceeded = "limit_exceeded",
    /// The message is not the next one; `expected` tells which is.
    OutOfOrder = "out_of_order",
    /// Too fast; wait `after` milliseconds.
    RateLimited = "rate_limited",
    /// Redis or the credential service is away.
    Unavailable = "unavailable",
    /// A fault of ours.
    Internal = "internal",
}

impl ErrorCode {
    /// Tells whether the same message may succeed later. Such a refusal consumes no `mid`.
    #[must_use]
    pub const fn retry(self) -> bool {
        matches!(self, Self::OutOfOrder | Self::RateLimited | Self::Unavailable | Self::Internal)
    }
}
