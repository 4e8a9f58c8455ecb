//! What is to be reached, and whether it was.

use crate::figures::{Figure, Figures};
use crate::servers::Subject;
use crate::stats::{Spread, ratios, spread};

/// One bound on a figure of ours, alone or in relation to another one of the same round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) text: &'static str,
    /// The figure of ours.
    pub(crate) of: Figure,
    /// What it is divided by, if it is a ratio.
    pub(crate) by: Option<(Figure, Subject)>,
    /// The most it may be.
    pub(crate) at_most: f64,
}

const fn alone(text: &'static str, of: Figure, at_most: f64) -> Target {
    Target { text, of, by: None, at_most }
}

const fn beside(text: &'static str, of: Figure, by: (Figure, Subject), at_most: f64) -> Target {
    Target { text, of, by: Some(by), at_most }
}

/// All of them.
pub(crate) const TARGETS: [Target; 20] = [
    alone("memory per idle connection after an offer, KiB", Figure::AfterOffer, 2.5),
    beside("… of socket.io's", Figure::AfterOffer, (Figure::AfterOffer, Subject::SocketIo), 0.1),
    beside("… of PeerJS's", Figure::AfterOffer, (Figure::AfterOffer, Subject::PeerJs), 0.2),
    beside("… of matchbox's", Figure::AfterOffer, (Figure::AfterOffer, Subject::Matchbox), 0.02),
    beside("… of bare TCP's", Figure::AfterOffer, (Figure::AfterOffer, Subject::Floor), 2.5),
    beside(
        "CPU per signal, one under way, of socket.io's",
        Figure::One,
        (Figure::One, Subject::SocketIo),
        1.0 / 3.0,
    ),
    beside("… in bursts of 8", Figure::Burst, (Figure::Burst, Subject::SocketIo), 0.125),
    beside("… paced", Figure::Paced, (Figure::Paced, Subject::SocketIo), 0.4),
    beside(
        "CPU per volatile signal, one under way, of socket.io's",
        Figure::OneVolatile,
        (Figure::One, Subject::SocketIo),
        0.2,
    ),
    beside(
        "… in bursts of 8",
        Figure::BurstVolatile,
        (Figure::Burst, Subject::SocketIo),
        1.0 / 12.0,
    ),
    beside("… paced", Figure::PacedVolatile, (Figure::Paced, Subject::SocketIo), 1.0 / 3.0),
    alone("Redis CPU per kept signal in bursts of 8, µs", Figure::BurstRedis, 3.0),
    alone("fan-out inside a node, µs per delivery in bursts", Figure::Fanout, 1.0),
    beside(
        "echo of the WebSocket layer, one under way, of bare TCP's",
        Figure::EchoOne,
        (Figure::EchoOne, Subject::Floor),
        1.15,
    ),
    beside("… sixteen under way", Figure::EchoDeep, (Figure::EchoDeep, Subject::Floor), 1.5),
    alone("cross-node delivery p99 at 5,000 a second, ms", Figure::SteadyLatency, 10.0),
    beside(
        "delivery p99 at the highest rate both sustain, of socket.io's",
        Figure::SustainedLatency,
        (Figure::SustainedLatency, Subject::SocketIo),
        1.0,
    ),
    beside(
        "delivery p99 at 9,400 a second, of socket.io's",
        Figure::FastLatency,
        (Figure::FastLatency, Subject::SocketIo),
        1.0,
    ),
    alone("resident memory 10 s after 10,000 have gone, of the base", Figure::Left, 2.0),
    beside(
        "CPU to take a client in, of socket.io's",
        Figure::Entry,
        (Figure::Entry, Subject::SocketIo),
        0.5,
    ),
];

impl Target {
    /// What was measured; `None` where a server could not be.
    pub(crate) fn measured(&self, figures: &Figures) -> Option<Spread> {
        let ours = figures.of(self.of, Subject::Signal);
        match self.by {
            None => spread(ours),
            Some((figure, subject)) => spread(&ratios(ours, figures.of(figure, subject))),
        }
    }
}
