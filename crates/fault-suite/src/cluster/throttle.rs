//! A process that gets a tenth of the processor, as on a machine that has been given too many of them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

const STOPPED: Duration = Duration::from_millis(90);
const RUNNING: Duration = Duration::from_millis(10);

/// Stops a process and has it go on in turn. Whoever ends the process drops this first: its id may become another's.
pub(super) struct Throttle {
    pid: Pid,
    is_over: Arc<Mutex<bool>>,
}

impl Throttle {
    pub(super) fn start(pid: Pid) -> Self {
        let is_over = Arc::new(Mutex::new(false));
        tokio::spawn(alternate(pid, Arc::clone(&is_over)));
        Self { pid, is_over }
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        // Under the lock, so that no SIGSTOP follows.
        let mut is_over = self.is_over.lock().unwrap_or_else(PoisonError::into_inner);
        *is_over = true;
        let _ = kill_process(self.pid, Signal::CONT);
    }
}

async fn alternate(pid: Pid, is_over: Arc<Mutex<bool>>) {
    for (signal, lasts) in [(Signal::STOP, STOPPED), (Signal::CONT, RUNNING)].iter().cycle() {
        {
            let is_over = is_over.lock().unwrap_or_else(PoisonError::into_inner);
            if *is_over {
                return;
            }
            let _ = kill_process(pid, *signal);
        }
        sleep(*lasts).await;
    }
}
