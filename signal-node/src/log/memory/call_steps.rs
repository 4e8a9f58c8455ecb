//! The steps of calls, in the inbox of their callee.

use std::time::Duration;

use signal_protocol::{CallId, ErrorCode};

use super::calls::Call;
use super::room::RoomState;
use super::stream::Append;
use crate::log::{CALLS_REMEMBERED, CallStep, CallView, CallsView, Outcome, RINGING_CALLS, Ring};

impl RoomState {
    pub(super) fn ring(&mut self, ring: &Ring, now: Duration, append: &mut Append) -> Outcome {
        self.calls.expire(now, append);
        if !self.calls.0.contains_key(&ring.call) {
            if self.calls.ringing() >= RINGING_CALLS {
                return Outcome::Refused(ErrorCode::LimitExceeded);
            }
            let call = Call::begin(ring, self.members.len(), now, append);
            self.remembered_until = self.remembered_until.max(call.until + CALLS_REMEMBERED);
            self.calls.0.insert(ring.call.clone(), call);
        }
        self.one_call(&ring.call, now, append)
    }

    pub(super) fn step_call(
        &mut self,
        id: &CallId,
        step: &CallStep,
        now: Duration,
        append: &mut Append,
    ) -> Outcome {
        self.calls.expire(now, append);
        let is_device = match step {
            CallStep::Accept(device) | CallStep::Decline(device, _) => {
                self.members.contains_key(device)
            }
            CallStep::Cancel(..) => true,
        };
        let call = self.calls.0.get_mut(id).filter(|call| match step {
            CallStep::Cancel(from, _) => *from == call.from,
            CallStep::Accept(_) | CallStep::Decline(..) => is_device,
        });
        let Some(call) = call else { return Outcome::Gone(append.last()) };
        if let Some(state) = call.state.after(step, &call.from) {
            call.change(id, state, now, append);
            self.remembered_until = self.remembered_until.max(call.until);
        }
        self.one_call(id, now, append)
    }

    fn one_call(&self, id: &CallId, now: Duration, append: &Append) -> Outcome {
        let calls = self.calls.0.get(id).map(|call| call.view(id, now)).into_iter().collect();
        self.calls_view(calls, append)
    }

    pub(super) fn all_calls(&mut self, now: Duration, append: &mut Append) -> Outcome {
        self.calls.expire(now, append);
        let calls = self.calls.0.iter().map(|(id, call)| call.view(id, now)).collect();
        self.calls_view(calls, append)
    }

    fn calls_view(&self, calls: Vec<CallView>, append: &Append) -> Outcome {
        let (head, devices) = (append.last(), self.members.len());
        Outcome::Calls(Box::new(CallsView { head, devices, calls }))
    }
}
