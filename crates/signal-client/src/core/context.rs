//! What the parts of the machine share: effects, randomness, and requests that wait for their reply.

use std::collections::{BTreeMap, VecDeque};

use fastrand::Rng;
use signal_protocol::client::RequestId;

use super::effect::{Effect, LinkId, MemberId, Ticket};
use super::event::SendError;
use super::frame::Request;

/// What the reply to a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Join(MemberId),
    /// Somebody waits for it.
    Answer(Ticket),
    /// Nobody does.
    Nothing,
}

pub(super) struct Context {
    pub(super) rng: Rng,
    effects: VecDeque<Effect>,
    /// By `id`, in the order in which they were sent.
    requests: BTreeMap<RequestId, (LinkId, Purpose)>,
    last_request: RequestId,
}

impl Context {
    pub(super) fn new(rng: Rng) -> Self {
        Self { rng, effects: VecDeque::new(), requests: BTreeMap::new(), last_request: 0 }
    }

    pub(super) fn emit(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }

    pub(super) fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    pub(super) fn say(&mut self, link: LinkId, request: &Request<'_>) {
        self.emit(Effect::Send { link, text: request.text() });
    }

    /// Sends the request that `make` builds for a fresh `id`, which is returned.
    pub(super) fn request<'a>(
        &mut self,
        link: LinkId,
        purpose: Purpose,
        make: impl FnOnce(RequestId) -> Request<'a>,
    ) -> RequestId {
        self.last_request += 1;
        self.requests.insert(self.last_request, (link, purpose));
        self.say(link, &make(self.last_request));
        self.last_request
    }

    /// Takes the request that a frame of `link` answers.
    pub(super) fn answered(&mut self, id: Option<RequestId>, link: LinkId) -> Option<Purpose> {
        let id = id.filter(|id| self.requests.get(id).is_some_and(|(on, _)| *on == link))?;
        self.requests.remove(&id).map(|(_, purpose)| purpose)
    }

    /// No reply comes over `link` any more.
    pub(super) fn lost(&mut self, link: LinkId) {
        let lost = self.requests.values().filter(|(on, _)| *on == link);
        let unanswered = lost.filter_map(|(_, purpose)| match purpose {
            Purpose::Answer(ticket) => Some(*ticket),
            Purpose::Join(_) | Purpose::Nothing => None,
        });
        let unanswered = unanswered.collect();
        self.requests.retain(|_, (on, _)| *on != link);
        self.settle_all(unanswered, &Err(SendError::NotConnected));
    }

    pub(super) fn settle(&mut self, ticket: Ticket, result: Result<(), SendError>) {
        self.emit(Effect::Settled { ticket, result });
    }

    pub(super) fn settle_all(&mut self, tickets: Vec<Ticket>, result: &Result<(), SendError>) {
        for ticket in tickets {
            self.settle(ticket, result.clone());
        }
    }
}
