//! Drives a selection: asks workers over the network and tells the state machine what they answer.

use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::{Instant, sleep_until};

use super::{
    Address, Balancer,
    selection::{Action, Event, Selection},
};
use crate::{
    job::attempt::Worker,
    worker_client::{Connection, WorkerStatus},
};

/// A worker that has just said that it has room, and the connection over which it did.
#[derive(Debug)]
pub struct Candidate {
    /// Where it listens.
    pub address: Address,
    /// The connection, pinned to the machine that answered.
    pub connection: Connection,
    /// What it answered.
    pub status: WorkerStatus,
}

impl Candidate {
    /// The process that has answered.
    #[must_use]
    pub fn worker(&self) -> Worker {
        Worker { address: self.address.to_string(), lease: self.status.lease.clone() }
    }
}

/// A worker's answer, and the connection that it came over.
type Answer = (Connection, WorkerStatus);

/// The workers that have room, one after the other. Dropping it drops the connections that were not chosen.
#[derive(Debug)]
pub struct Candidates<'a> {
    balancer: &'a Balancer,
    selection: Selection,
    questions: FuturesUnordered<BoxFuture<'a, (usize, Option<Answer>)>>,
    /// Have said that they have no room.
    busy: Vec<usize>,
    begun: bool,
}

impl<'a> Candidates<'a> {
    /// Asks in this order. Whoever is not in it is known to have no room.
    pub(super) fn new(balancer: &'a Balancer, order: Vec<usize>) -> Self {
        let busy = (0..balancer.len()).filter(|worker| !order.contains(worker)).collect();
        Self { balancer, selection: Selection::new(order), questions: FuturesUnordered::new(), busy, begun: false }
    }

    /// The next worker that has room; `None` when every worker has answered. A second call says that the worker of the
    /// first did not take the job.
    pub async fn next(&mut self) -> Option<Candidate> {
        let mut action = if self.begun { self.selection.on(Event::Rejected) } else { self.selection.begin() };
        self.begun = true;
        let mut stagger = Instant::now() + self.balancer.stagger;
        loop {
            match action {
                Action::Ask(worker) => {
                    self.ask(worker);
                    stagger = Instant::now() + self.balancer.stagger;
                }
                Action::Wait => {}
                Action::GiveUp => return None,
            }
            let (worker, answer) = tokio::select! {
                Some(answer) = self.questions.next() => answer,
                () = sleep_until(stagger), if self.selection.has_unasked() => {
                    action = self.selection.on(Event::Stagger);
                    continue;
                }
            };
            match answer {
                Some(answer) if answer.1.has_room() => return Some(self.choose(worker, answer)),
                Some(_) => self.busy.push(worker),
                None => {}
            }
            action = self.selection.on(Event::Unavailable(worker));
        }
    }

    /// The workers that are known to live, and to have no room.
    pub fn busy(&self) -> impl Iterator<Item = &Address> {
        self.busy.iter().map(|worker| &self.balancer.workers[*worker].address)
    }

    fn ask(&mut self, worker: usize) {
        let balancer = self.balancer;
        self.questions.push(Box::pin(async move {
            (worker, balancer.ask(&balancer.workers[worker], balancer.startup_timeout).await.ok())
        }));
    }

    fn choose(&mut self, worker: usize, (connection, status): Answer) -> Candidate {
        for slow in self.selection.choose(worker) {
            self.balancer.workers[slow].avoid();
        }
        self.balancer.rotation.chosen(worker);
        Candidate { address: self.balancer.workers[worker].address.clone(), connection, status }
    }
}
