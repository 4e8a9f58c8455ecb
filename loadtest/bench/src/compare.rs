//! Ours, its peers and the floor, in one run: several rounds, each server in turn.

use std::time::Duration;

use crate::echo::{self, Transport};
use crate::figures::{Figure, Figures};
use crate::measure::fanout::Fanout;
use crate::measure::idle::idle;
use crate::measure::meter::WindowFigures;
use crate::measure::relay::{PAIRS, Pacing, Relay};
use crate::problem::Problem;
use crate::servers::{Fleet, Programs, Subject};

/// Signals per second at which latency is judged on its own.
const STEADY: f64 = 5_000.0;
/// The rate at which Socket.IO is near its end on one core.
const FAST: f64 = 9_400.0;
/// Candidates that are sent at a time.
const BURST: u64 = 8;
/// The share of a core up to which a server is said to sustain a rate.
const SUSTAINED: f64 = 0.7;
/// A rate that every server sustains, to learn what a paced message costs.
const SLOW: f64 = 2_000.0;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope {
    pub(crate) rounds: u32,
    pub(crate) connections: u32,
    pub(crate) window: Duration,
}

pub(crate) struct Comparison<'a> {
    programs: &'a Programs,
    extent: Scope,
    figures: Figures,
}

impl<'a> Comparison<'a> {
    pub(crate) fn new(programs: &'a Programs, extent: Scope) -> Self {
        Self { programs, extent, figures: Figures::default() }
    }

    /// Measures everything, and tells on the way how far it is.
    pub(crate) async fn run(mut self) -> Result<Figures, Problem> {
        for round in 1..=self.extent.rounds {
            for subject in Subject::ALL.into_iter().filter(|subject| self.programs.can(*subject)) {
                eprintln!("round {round} of {}: {}", self.extent.rounds, subject.name());
                self.memory(subject).await?;
                self.calls(subject).await?;
                self.large_rooms(subject).await?;
            }
            self.latency().await?;
            self.echoes().await?;
        }
        Ok(self.figures)
    }

    fn note(&mut self, figure: Figure, subject: Subject, value: f64) {
        eprintln!("  {} {}: {value:.2} {}", subject.name(), figure.name(), figure.unit());
        self.figures.push(figure, subject, value);
    }

    async fn memory(&mut self, subject: Subject) -> Result<(), Problem> {
        let fleet = Fleet::start(subject, 1, self.programs).await?;
        let idle = idle(&fleet, self.extent.connections).await?;
        self.note(Figure::Fresh, subject, idle.fresh);
        self.note(Figure::AfterOffer, subject, idle.after_offer);
        self.note(Figure::Kernel, subject, idle.kernel);
        self.note(Figure::Entry, subject, idle.entry);
        self.note(Figure::Left, subject, idle.left);
        Ok(())
    }

    fn relay(&self, turns: Pacing, keeps: bool) -> Relay {
        Relay { turns, keeps, pairs: PAIRS, window: self.extent.window }
    }

    /// CPU per message from one client to one other.
    async fn calls(&mut self, subject: Subject) -> Result<(), Problem> {
        let kept = [
            (Pacing::One, Figure::One),
            (Pacing::Bursts(BURST), Figure::Burst),
            (Pacing::Paced(STEADY), Figure::Paced),
        ];
        for (turns, figure) in kept {
            let reading = self.on_new(subject, self.relay(turns, true)).await?;
            self.note(figure, subject, reading.cpu());
            if subject == Subject::Signal && figure == Figure::Burst {
                self.note(Figure::BurstRedis, subject, reading.redis);
            }
            if figure == Figure::Paced {
                self.note(Figure::SteadyLatency, subject, reading.percentile(0.99));
            }
        }
        let volatile = [
            (Pacing::One, Figure::OneVolatile),
            (Pacing::Bursts(BURST), Figure::BurstVolatile),
            (Pacing::Paced(STEADY), Figure::PacedVolatile),
        ];
        for (turns, figure) in volatile.into_iter().filter(|_| subject == Subject::Signal) {
            let reading = self.on_new(subject, self.relay(turns, false)).await?;
            self.note(figure, subject, reading.cpu());
        }
        Ok(())
    }

    async fn on_new(&self, subject: Subject, relay: Relay) -> Result<WindowFigures, Problem> {
        let fleet = Fleet::start(subject, subject.nodes(), self.programs).await?;
        relay.run(&fleet).await
    }

    /// CPU per delivery in rooms of many.
    async fn large_rooms(&mut self, subject: Subject) -> Result<(), Problem> {
        if !subject.dialect().broadcasts() {
            return Ok(());
        }
        let fleet = Fleet::start(subject, 1, self.programs).await?;
        let crowd = Fanout { rooms: 4, members: 100, burst: 16, window: self.extent.window };
        let reading = crowd.run(&fleet).await?;
        self.note(Figure::Fanout, subject, reading.nodes);
        Ok(())
    }

    /// The WebSocket layer alone, beside bytes as they are.
    async fn echoes(&mut self) -> Result<(), Problem> {
        for (depth, figure) in [(1, Figure::EchoOne), (16, Figure::EchoDeep)] {
            for (subject, carrier) in
                [(Subject::Signal, Transport::WebSocket), (Subject::Floor, Transport::Tcp)]
            {
                let cpu = echo::measure(carrier, depth, self.extent.window).await?;
                self.note(figure, subject, cpu);
            }
        }
        Ok(())
    }

    /// Latency beside Socket.IO, at the highest rate that both sustain and near its end.
    async fn latency(&mut self) -> Result<(), Problem> {
        let both = [Subject::Signal, Subject::SocketIo];
        let mut dearest = 0.0_f64;
        for subject in both {
            let reading = self.on_new(subject, self.relay(Pacing::Paced(SLOW), true)).await?;
            dearest = dearest.max(reading.busy / SLOW);
        }
        let sustained = SUSTAINED / dearest;
        for subject in both {
            self.note(Figure::SustainedRate, subject, sustained);
            let reading = self.on_new(subject, self.relay(Pacing::Paced(sustained), true)).await?;
            self.note(Figure::SustainedLatency, subject, reading.percentile(0.99));
            let reading = self.on_new(subject, self.relay(Pacing::Paced(FAST), true)).await?;
            self.note(Figure::FastLatency, subject, reading.percentile(0.99));
        }
        Ok(())
    }
}
