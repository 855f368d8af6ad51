//! A store that has callbacks and nothing else, and that can be made to fail.

use std::sync::{Mutex, MutexGuard};

use futures_util::future::{BoxFuture, ready};
use tokio::sync::{broadcast, watch};

use super::*;
use crate::{
    job::JobId,
    store::{
        CallbackId, Created, Error, Expected, Filter, NewJob, Page, PlaneId, Progress, Record, StoredEvent, Transition,
    },
};

/// Callbacks, and when they are due.
#[derive(Debug)]
pub(super) struct Outbox {
    rows: Mutex<Vec<(Callback, Timestamp)>>,
    broken: Mutex<bool>,
    news: broadcast::Sender<Change>,
    settled: watch::Sender<usize>,
}

impl Outbox {
    pub(super) fn of(callbacks: impl IntoIterator<Item = Callback>) -> Arc<Self> {
        let rows = callbacks.into_iter().map(|callback| (callback, Timestamp::UNIX_EPOCH)).collect();
        let (news, settled) = (broadcast::Sender::new(8), watch::Sender::new(0));
        Arc::new(Self { rows: Mutex::new(rows), broken: Mutex::new(false), news, settled })
    }

    pub(super) fn rows(&self) -> MutexGuard<'_, Vec<(Callback, Timestamp)>> {
        self.rows.lock().expect("no panic under the lock")
    }

    /// Writes a callback down, as the end of a job does.
    pub(super) fn add(&self, callback: Callback) {
        self.rows().push((callback, Timestamp::UNIX_EPOCH));
        let _ = self.news.send(Change::Callback);
    }

    pub(super) fn set_broken(&self, broken: bool) {
        *self.broken.lock().expect("no panic under the lock") = broken;
        let _ = self.news.send(Change::Unknown);
    }

    /// As if the time that takers have were over.
    pub(super) fn everything_is_due(&self) {
        self.rows().iter_mut().for_each(|(_, due)| *due = Timestamp::UNIX_EPOCH);
    }

    /// Waits until so many tries have been settled.
    pub(super) async fn settled(&self, tries: usize) {
        let mut settled = self.settled.subscribe();
        timeout(PATIENCE, settled.wait_for(|settled| *settled >= tries)).await.expect("settled in time").expect("open");
    }

    /// Waits until nothing is left to send.
    pub(super) async fn emptied(&self) {
        let mut settled = self.settled.subscribe();
        let emptied = settled.wait_for(|_| self.rows().is_empty());
        timeout(PATIENCE, emptied).await.expect("settled in time").expect("open");
    }

    fn alive(&self) -> Result<(), Error> {
        let broken = *self.broken.lock().expect("no panic under the lock");
        if broken { Err(Error::Unavailable("the test broke it".to_owned())) } else { Ok(()) }
    }

    fn take(&self, now: Timestamp, hold: Duration, limit: u32) -> Result<Vec<Callback>, Error> {
        self.alive()?;
        let mut rows = self.rows();
        let due = rows.iter_mut().filter(|(_, due)| *due <= now).take(usize::try_from(limit).expect("a small limit"));
        Ok(due
            .map(|(callback, due)| {
                *due = now + hold;
                callback.clone()
            })
            .collect())
    }

    fn settle(&self, id: CallbackId, settlement: Settlement) -> Result<(), Error> {
        self.alive()?;
        let mut rows = self.rows();
        match settlement {
            Settlement::Done => rows.retain(|(callback, _)| callback.id != id),
            Settlement::Retry(at) => {
                let row = rows.iter_mut().find(|(callback, _)| callback.id == id).expect("settled once");
                (row.0.failures, row.1) = (row.0.failures + 1, at);
            }
        }
        self.settled.send_modify(|settled| *settled += 1);
        Ok(())
    }
}

/// For what a deliverer has no business with.
fn no<T: Send + 'static>() -> BoxFuture<'static, Result<T, Error>> {
    Box::pin(ready(Err(Error::Broken("callbacks only".to_owned()))))
}

impl JobStore for Outbox {
    fn create(&self, _: NewJob) -> BoxFuture<'_, Result<Created, Error>> {
        no()
    }
    fn withdraw(&self, _: JobId, _: Expected) -> BoxFuture<'_, Result<(), Error>> {
        no()
    }
    fn get(&self, _: JobId) -> BoxFuture<'_, Result<Option<Record>, Error>> {
        no()
    }
    fn by_key(&self, _: String) -> BoxFuture<'_, Result<Option<Record>, Error>> {
        no()
    }
    fn family(&self, _: JobId) -> BoxFuture<'_, Result<Vec<Record>, Error>> {
        no()
    }
    fn certificate(&self, _: JobId) -> BoxFuture<'_, Result<Option<String>, Error>> {
        no()
    }
    fn list(&self, _: Filter) -> BoxFuture<'_, Result<Page, Error>> {
        no()
    }
    fn events(&self, _: JobId, _: u32) -> BoxFuture<'_, Result<Vec<StoredEvent>, Error>> {
        no()
    }
    fn transition(&self, _: Transition) -> BoxFuture<'_, Result<(), Error>> {
        no()
    }
    fn save_progress(&self, _: Vec<Progress>) -> BoxFuture<'_, Result<(), Error>> {
        no()
    }
    fn request_cancel(&self, _: JobId) -> BoxFuture<'_, Result<Option<Record>, Error>> {
        no()
    }
    fn claim(&self, _: PlaneId, _: Timestamp, _: bool) -> BoxFuture<'_, Result<Option<Record>, Error>> {
        no()
    }
    fn next_due(&self, _: Timestamp) -> BoxFuture<'_, Result<Option<Timestamp>, Error>> {
        no()
    }
    fn waiting(&self) -> BoxFuture<'_, Result<u64, Error>> {
        no()
    }
    fn renew(&self, _: PlaneId, _: Duration) -> BoxFuture<'_, Result<bool, Error>> {
        no()
    }
    fn adopt(&self, _: PlaneId) -> BoxFuture<'_, Result<Vec<Record>, Error>> {
        no()
    }
    fn held(&self, _: PlaneId) -> BoxFuture<'_, Result<Vec<Record>, Error>> {
        no()
    }
    fn resign(&self, _: PlaneId) -> BoxFuture<'_, Result<(), Error>> {
        no()
    }
    fn expire(&self, _: Timestamp, _: u32) -> BoxFuture<'_, Result<u64, Error>> {
        no()
    }
    fn due_callbacks(&self, now: Timestamp, hold: Duration, limit: u32) -> BoxFuture<'_, Result<Vec<Callback>, Error>> {
        Box::pin(ready(self.take(now, hold, limit)))
    }
    fn next_callback(&self) -> BoxFuture<'_, Result<Option<Timestamp>, Error>> {
        let next = self.rows().iter().map(|(_, due)| *due).min();
        Box::pin(ready(self.alive().map(|()| next)))
    }
    fn settle_callback(&self, id: CallbackId, settlement: Settlement) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(ready(self.settle(id, settlement)))
    }
    fn check(&self) -> BoxFuture<'_, Result<(), Error>> {
        no()
    }
    fn changes(&self) -> broadcast::Receiver<Change> {
        self.news.subscribe()
    }
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(ready(()))
    }
}
