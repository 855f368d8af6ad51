//! What waits for the writer: an operation and who wants its answer.

use std::future::Future;

use futures_util::future::BoxFuture;
use sqlx::SqliteConnection;
use tokio::sync::oneshot;

use super::tx::Tx;
use crate::store::Error;

/// A part of a transaction. One that is refused ([`Error::Conflict`] and its like) must not have written anything; one
/// that fails takes the transaction with it, and may run again in another.
pub(super) trait Operation: Send + Sync + 'static {
    /// What the caller wants.
    type Answer: Send + 'static;

    /// Does it.
    fn run(&self, tx: &mut Tx) -> impl Future<Output = Result<Self::Answer, Error>> + Send;
}

/// Looks something up.
pub(super) trait Read: Send + Sync + 'static {
    /// What the caller wants.
    type Answer: Send + 'static;

    /// Does it.
    fn run(&self, connection: &mut SqliteConnection) -> impl Future<Output = Result<Self::Answer, Error>> + Send;
}

/// A read in the writer's transaction.
pub(super) struct Reading<R>(pub(super) R);

impl<R: Read> Operation for Reading<R> {
    type Answer = R::Answer;

    async fn run(&self, tx: &mut Tx) -> Result<R::Answer, Error> {
        self.0.run(tx.read().await?).await
    }
}

/// An operation of any kind that waits.
pub(super) trait Pending: Send {
    /// Runs it and keeps the answer. An error is one that takes the transaction with it.
    fn run<'p>(&'p mut self, tx: &'p mut Tx) -> BoxFuture<'p, Result<(), Error>>;

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
    fn run<'p>(&'p mut self, tx: &'p mut Tx) -> BoxFuture<'p, Result<(), Error>> {
        Box::pin(async {
            let answer = self.operation.run(tx).await;
            if let Err(error @ (Error::Unavailable(_) | Error::Broken(_))) = &answer {
                return Err(error.clone());
            }
            self.answer = Some(answer);
            Ok(())
        })
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
