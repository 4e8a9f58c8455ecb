//! How large anything may be. Clients are told the ones they have to obey in `welcome.limits`.

/// Bytes of one client frame: an SDP with simulcast and many codecs stays below 20 KiB.
pub const MESSAGE_BYTES: usize = 64 * 1024;

/// Bytes of one member's `meta`. Every roster carries all of them, so it is kept small.
pub const META_BYTES: usize = 4 * 1024;

/// Bytes of a `report`: room for every field of [`crate::report`], with as many errors of relays as it may have.
pub const REPORT_BYTES: usize = 2 * 1024;

/// Characters of a room name.
pub const ROOM_CHARS: usize = 64;

/// Bytes of a token's subject: 255 characters as in `OpenID` Connect, each of up to four bytes.
pub const SUBJECT_BYTES: usize = 1020;

/// Characters of a peer key: 128 random bits in base64url.
pub const KEY_CHARS: usize = 22;

/// Members of a room, at most: whatever is configured, and the size that is tested.
pub const ROOM_CAPACITY: u32 = 1_000;

/// Messages a member may have sent without having seen their `ack`.
pub const UNACKED: u64 = 256;

/// An `ack` is owed after this many settled messages, even if less than [`ACK_WITHIN_MS`] has passed.
pub const ACK_EVERY: u64 = 32;

/// Milliseconds within which a settled message is acknowledged.
pub const ACK_WITHIN_MS: u64 = 1_000;

/// Seconds within which a page that was closed or left (close code 1001) is expected back; otherwise its member leaves.
pub const GOING_AWAY_GRACE_S: u64 = 5;

/// The longest ban in seconds that `kick` may ask for: a day.
pub const BAN_SECONDS: u64 = 86_400;

/// Bytes of the state of a device.
pub const STATE_BYTES: usize = 140;

/// Devices of one user that are online at once.
pub const DEVICES: u32 = 16;

/// Characters of the name of a call.
pub const CALL_CHARS: usize = 64;

/// Seconds that a call may ring, at most, and if it says nothing.
pub const RING_SECONDS: u64 = 120;
/// See [`RING_SECONDS`].
pub const RING_SECONDS_DEFAULT: u64 = 45;

/// Users that one `watch` or `unwatch` names.
pub const USERS_PER_MESSAGE: usize = 100;

// A client that fills its window is always acknowledged before it has to wait for the timer.
const _: () = assert!(ACK_EVERY * 2 <= UNACKED);
