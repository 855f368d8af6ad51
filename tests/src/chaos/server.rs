//! A server that is struck, and started again by somebody who watches: the supervisor of a real deployment.

use std::{
    process::Child,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::tally::Tally;
use crate::{Launch, Port};

/// Time between two looks at a process.
pub(super) const LOOK: Duration = Duration::from_millis(20);

/// Time between two starts of a server that ends by itself.
const BETWEEN_STARTS: Duration = Duration::from_millis(200);

/// A server under supervision. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    /// For people.
    pub name: String,
    /// Whether it may end with a failure, as where its store is away when it starts.
    pub may_fail: bool,
    launch: Launch,
    /// Held for as long as the server may come back.
    port: Port,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    child: Option<Child>,
    /// Not started before.
    rest_until: Option<Instant>,
    /// It was sent a signal that ends it.
    struck: bool,
    supervised: bool,
    /// When it last was paused, or went on.
    paused: Option<Instant>,
}

impl Server {
    /// One that is started by the first look.
    #[must_use]
    pub fn new(name: String, launch: Launch, port: Port) -> Self {
        let state = State { child: None, rest_until: None, struck: false, supervised: true, paused: None };
        Self { name, may_fail: false, launch, port, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> std::net::SocketAddr {
        self.port.address()
    }

    /// What it printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.launch.output()
    }

    /// Sees whether it runs, and starts it where it should.
    pub fn look(&self, tally: &Tally) {
        let mut state = self.lock();
        if let Some(child) = &mut state.child {
            match child.try_wait() {
                Ok(None) => return,
                Ok(Some(status)) if status.success() || state.struck || self.may_fail => {}
                Ok(Some(status)) => {
                    let log = self.launch.output();
                    let tail: Vec<_> = log.lines().rev().take(3).collect();
                    tally.violation(
                        "a server ended by itself with a failure",
                        format!("{}: {status}: {tail:?}", self.name),
                    );
                }
                Err(error) => tally.violation("a server cannot be watched", format!("{}: {error}", self.name)),
            }
            state.child = None;
            state.rest_until.get_or_insert(Instant::now() + BETWEEN_STARTS);
        }
        let rested = state.rest_until.is_none_or(|until| until <= Instant::now());
        if state.supervised && rested {
            state.child = Some(self.launch.spawn());
            (state.struck, state.rest_until) = (false, None);
            tally.count("starts", self.name.clone());
        }
    }

    /// Sends it a signal that ends it; it is started again once it has ended, and that long has passed.
    pub fn strike(&self, signal: Signal, rest: Duration) {
        let mut state = self.lock();
        state.struck = true;
        state.rest_until = Some(Instant::now() + rest);
        signal_child(&mut state, signal);
    }

    /// Lets it stand still.
    pub fn pause(&self) {
        let mut state = self.lock();
        state.paused = Some(Instant::now());
        signal_child(&mut state, Signal::SIGSTOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        let mut state = self.lock();
        state.paused = Some(Instant::now());
        signal_child(&mut state, Signal::SIGCONT);
    }

    /// When it last was paused or went on.
    #[must_use]
    pub fn last_pause(&self) -> Option<Instant> {
        self.lock().paused
    }

    /// Ends it softly, and leaves it ended.
    pub fn retire(&self) {
        let mut state = self.lock();
        state.supervised = false;
        signal_child(&mut state, Signal::SIGTERM);
    }

    /// Lets it be started again.
    pub fn revive(&self) {
        self.lock().supervised = true;
    }

    /// True while it runs.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.lock().child.is_some()
    }
}

fn signal_child(state: &mut State, signal: Signal) {
    let pid = state.child.as_ref().and_then(|child| i32::try_from(child.id()).ok());
    if let Some(pid) = pid {
        // It was not reaped yet, so the number is still its own.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.lock().child.take() {
            // Both fail only where it has ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
