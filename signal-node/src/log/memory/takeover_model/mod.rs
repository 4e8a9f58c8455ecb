//! Every order of events in the life of one member on two nodes, checked by a model checker.
//!
//! The room is the real [`RoomState`]; the nodes follow the rules of `room/outcomes.rs` and `room/local_room.rs`
//! in as few lines as they take. Sockets break, answers get lost after the call took effect, nodes sleep and
//! die, others suspect them rightly or wrongly, and absence ends at any moment.

mod state;

use signal_protocol::Mid;
use stateright::{Checker, Model, Property};

use crate::log::{Claim, Op};
use state::{State, join, json, peer};

/// How often each thing may happen in one life.
struct Takeover {
    joins: u64,
    faults: u8,
    says: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Connect(usize),
    Break(u64),
    /// The node's next call is taken; its answer arrives, or gets lost.
    Call(usize, bool),
    Hear(usize),
    Say(usize),
    Leave(usize),
    Sleep(usize),
    Wake(usize),
    Die(usize),
    Suspect(usize),
    Expire,
}

impl Model for Takeover {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let faulty = state.faults < self.faults;
        for at in 0..2 {
            let node = &state.nodes[at];
            if state.is_awake(at) {
                self.of_awake(state, at, actions);
            } else if node.asleep && !node.dead {
                actions.push(Action::Wake(at));
            }
            if faulty && !node.dead {
                actions.extend([Action::Suspect(at), Action::Die(at)]);
            }
        }
        if faulty {
            actions.extend(state.open.iter().map(|socket| Action::Break(*socket)));
            actions.push(Action::Expire);
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Connect(at) => {
                state.tried += 1;
                state.open.insert(state.tried);
                state.ask(at, state.tried, join(at, state.tried));
            }
            Action::Call(at, loses) => {
                state.faults += u8::from(loses);
                state.call(at, loses);
            }
            Action::Hear(at) => state.hear(at),
            Action::Say(at) => {
                state.said += 1;
                let (socket, generation) = state.nodes[at].seat?;
                let by = Claim { peer: peer(), generation };
                let mid = Mid(state.said);
                state.ask(at, socket, Op::Signal { by, mid, to: None, data: json(), span: None });
            }
            Action::Leave(at) => {
                state.said = self.says;
                let (socket, generation) = state.nodes[at].seat?;
                state.ask(at, socket, Op::Leave { by: Claim { peer: peer(), generation } });
            }
            fault => state.fail(fault),
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "nothing is done or heard by who does not hold the member",
                |_, s: &State| s.wrong.is_none(),
            ),
            Property::always("once it is quiet, room and nodes agree", |_, s: &State| {
                !s.is_quiet() || s.agrees()
            }),
            Property::sometimes("a suspected member is reclaimed", |_, s: &State| s.reclaimed),
            Property::sometimes("a member moves to the other node", |_, s: &State| {
                s.is_quiet() && s.joins.len() > 1 && s.n.len() == 1
            }),
        ]
    }
}

impl Takeover {
    fn of_awake(&self, state: &State, at: usize, actions: &mut Vec<Action>) {
        let node = &state.nodes[at];
        let faulty = state.faults < self.faults;
        if state.tried < self.joins {
            actions.push(Action::Connect(at));
        }
        if !node.calls.is_empty() || node.flight.is_some() {
            actions.push(Action::Call(at, false));
            actions.extend(faulty.then_some(Action::Call(at, true)));
        }
        if node.heard < state.log.len() && !state.waits(at) {
            actions.push(Action::Hear(at));
        }
        if node.seat.is_some_and(|(socket, _)| state.open.contains(&socket))
            && state.said < self.says
        {
            actions.extend([Action::Say(at), Action::Leave(at)]);
        }
        actions.extend(faulty.then_some(Action::Sleep(at)));
    }
}

fn check(model: Takeover, at_least: usize) {
    let checker = model.checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    assert!(checker.unique_state_count() > at_least, "the model has become trivial");
}

#[test]
fn no_order_of_events_lets_two_sockets_hold_one_member() {
    check(Takeover { joins: 2, faults: 2, says: 1 }, 10_000);
}

#[test]
fn nor_do_many_sockets_one_after_another() {
    check(Takeover { joins: 3, faults: 1, says: 1 }, 10_000);
}
