//! What waits for the writer: an operation and who wants its answer.

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::tx::Tx;
use crate::store::Error;

/// A part of a transaction. One that is refused ([`Error::Conflict`] and its like) must not have written anything; one
/// that fails takes the transaction with it, and may run again in another.
pub(super) trait Operation: Send + 'static {
    /// What the caller wants.
    type Answer: Send + 'static;

    /// Does it.
    fn run(&self, tx: &mut Tx) -> Result<Self::Answer, Error>;
}

/// Looks something up.
pub(super) trait Read: Send + 'static {
    /// What the caller wants.
    type Answer: Send + 'static;

    /// Does it.
    fn run(&self, connection: &Connection) -> Result<Self::Answer, Error>;
}

/// A read in the writer's transaction.
pub(super) struct Reading<R>(pub(super) R);

impl<R: Read> Operation for Reading<R> {
    type Answer = R::Answer;

    fn run(&self, tx: &mut Tx) -> Result<R::Answer, Error> {
        self.0.run(tx.read())
    }
}

/// An operation of any kind that waits.
pub(super) trait Pending: Send {
    /// Runs it and keeps the answer. An error is one that takes the transaction with it.
    fn run(&mut self, tx: &mut Tx) -> Result<(), Error>;

    /// Gives the caller the answer, once it is durable.
    fn settle(self: Box<Self>);

    /// Tells the caller that nothing was done.
    fn fail(self: Box<Self>, error: &Error);

    /// True when nobody wants the answer any more.
    fn is_abandoned(&self) -> bool;
}

/// An operation, its answer and who wants it.
pub(super) struct Slot<O: Operation> {
    pub(super) operation: O,
    pub(super) answer: Option<Result<O::Answer, Error>>,
    pub(super) caller: oneshot::Sender<Result<O::Answer, Error>>,
}

impl<O: Operation> Pending for Slot<O> {
    fn run(&mut self, tx: &mut Tx) -> Result<(), Error> {
        let answer = self.operation.run(tx);
        if let Err(error @ (Error::Unavailable(_) | Error::Broken(_))) = &answer {
            return Err(error.clone());
        }
        self.answer = Some(answer);
        Ok(())
    }

    fn settle(self: Box<Self>) {
        let answer = self.answer.unwrap_or_else(|| Err(Error::Broken("an operation has no answer".to_owned())));
        // Who went away does not want it.
        let _ = self.caller.send(answer);
    }

    fn fail(self: Box<Self>, error: &Error) {
        let _ = self.caller.send(Err(error.clone()));
    }

    fn is_abandoned(&self) -> bool {
        self.caller.is_closed()
    }
}
