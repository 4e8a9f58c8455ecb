//! What a comparison found, figure by figure and round by round.

use std::collections::BTreeMap;

use crate::servers::Subject;

/// One thing that is measured of every server it applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Figure {
    Fresh,
    AfterOffer,
    Kernel,
    Left,
    Entry,
    One,
    Burst,
    Paced,
    OneVolatile,
    BurstVolatile,
    PacedVolatile,
    BurstRedis,
    Fanout,
    SteadyLatency,
    SustainedRate,
    SustainedLatency,
    FastLatency,
    EchoOne,
    EchoDeep,
}

impl Figure {
    /// How it is called in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fresh => "resident memory per idle connection, joined",
            Self::AfterOffer => "resident memory per idle connection, after an offer of 4 KiB",
            Self::Kernel => "kernel memory per socket",
            Self::Left => "resident memory 10 s after all have gone, of what it was at the start",
            Self::Entry => "CPU to take a client in",
            Self::One => "CPU per signal, one under way",
            Self::Burst => "CPU per signal, in bursts of 8",
            Self::Paced => "CPU per signal, 5,000 a second",
            Self::OneVolatile => "the same `volatile`, one under way",
            Self::BurstVolatile => "the same `volatile`, in bursts of 8",
            Self::PacedVolatile => "the same `volatile`, 5,000 a second",
            Self::BurstRedis => "of it Redis, kept, in bursts of 8",
            Self::Fanout => "CPU per delivery in rooms of 100, bursts of 16, one node",
            Self::SteadyLatency => "delivery p99 at 5,000 a second",
            Self::SustainedRate => {
                "the highest rate that ours and socket.io sustain below 70 % of a core"
            }
            Self::SustainedLatency => "delivery p99 at that rate",
            Self::FastLatency => "delivery p99 at 9,400 a second",
            Self::EchoOne => "CPU per echo of the WebSocket layer alone, one under way",
            Self::EchoDeep => "the same, sixteen under way",
        }
    }

    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Fresh | Self::AfterOffer | Self::Kernel => "KiB",
            Self::Left => "×",
            Self::SteadyLatency | Self::SustainedLatency | Self::FastLatency => "ms",
            Self::SustainedRate => "/s",
            Self::Entry
            | Self::One
            | Self::Burst
            | Self::Paced
            | Self::OneVolatile
            | Self::BurstVolatile
            | Self::PacedVolatile
            | Self::BurstRedis
            | Self::EchoOne
            | Self::EchoDeep
            | Self::Fanout => "µs",
        }
    }
}

/// All values: one for each round.
#[derive(Default)]
pub(crate) struct Figures(BTreeMap<(Figure, &'static str), Vec<f64>>);

impl Figures {
    /// Adds the value of a round.
    pub(crate) fn push(&mut self, figure: Figure, subject: Subject, value: f64) {
        self.0.entry((figure, subject.name())).or_default().push(value);
    }

    /// Returns the values of all rounds; none where a figure does not apply.
    pub(crate) fn of(&self, figure: Figure, subject: Subject) -> &[f64] {
        self.0.get(&(figure, subject.name())).map_or(&[], Vec::as_slice)
    }

    /// Returns what was measured, in the order of the tables.
    pub(crate) fn figures(&self) -> Vec<Figure> {
        let mut figures: Vec<Figure> = self.0.keys().map(|(figure, _)| *figure).collect();
        figures.dedup();
        figures
    }
}
