//! The events of one job, for any number of listeners, early or late.
//!
//! Milestones (status changes) are kept and every listener gets each of them, in order. Of the updates between two
//! milestones (percentages) only the latest is kept. So a slow or absent listener costs no memory and holds up nobody,
//! and a job may report as often as it likes. The caller must see to it that milestones are few.

use std::{
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// A job's events. Clones share one feed.
#[derive(Debug)]
pub struct Feed<T> {
    shared: Arc<Shared<T>>,
}

#[derive(Debug)]
struct Shared<T> {
    history: Mutex<History<T>>,
    changed: Notify,
}

#[derive(Debug)]
struct History<T> {
    /// Number of the newest event; the first one has number 1.
    newest: u64,
    milestones: Vec<(u64, T)>,
    /// The newest update, if it is newer than the newest milestone.
    update: Option<(u64, T)>,
    closed: bool,
}

impl<T> Clone for Feed<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T: Clone> Default for Feed<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Clone> Feed<T> {
    /// A feed without events.
    #[must_use]
    pub fn new() -> Self {
        let history = History { newest: 0, milestones: Vec::new(), update: None, closed: false };
        Self { shared: Arc::new(Shared { history: Mutex::new(history), changed: Notify::new() }) }
    }

    /// Adds an event that every listener will see.
    pub fn milestone(&self, event: T) {
        self.add(|history| {
            history.update = None;
            history.milestones.push((history.newest, event));
        });
    }

    /// Adds an event that the next event replaces, for listeners who have not seen it by then.
    pub fn update(&self, event: T) {
        self.add(|history| history.update = Some((history.newest, event)));
    }

    /// Adds the last event: listeners see it, then the end. What is added later is dropped.
    pub fn finish(&self, event: T) {
        self.add(|history| {
            history.update = None;
            history.milestones.push((history.newest, event));
            history.closed = true;
        });
    }

    /// The newest event.
    #[must_use]
    pub fn latest(&self) -> Option<T> {
        let history = self.history();
        let newest = history.update.as_ref().or(history.milestones.last());
        newest.map(|(_, event)| event.clone())
    }

    /// A listener who starts with the first event.
    #[must_use]
    pub fn subscribe(&self) -> Subscription<T> {
        Subscription { feed: self.clone(), seen: 0 }
    }

    fn add(&self, change: impl FnOnce(&mut History<T>)) {
        let mut history = self.history();
        if history.closed {
            return;
        }
        history.newest += 1;
        change(&mut history);
        drop(history);
        self.shared.changed.notify_waiters();
    }

    fn history(&self) -> MutexGuard<'_, History<T>> {
        // No code that can panic runs under this lock.
        self.shared.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One listener's place in a feed.
#[derive(Debug)]
pub struct Subscription<T> {
    feed: Feed<T>,
    seen: u64,
}

enum Next<T> {
    Event(u64, T),
    End,
    NotYet,
}

impl<T: Clone> Subscription<T> {
    /// Waits for the next event; `None` after the last. Cancel safe.
    pub async fn next(&mut self) -> Option<T> {
        let shared = Arc::clone(&self.feed.shared);
        loop {
            let mut changed = pin!(shared.changed.notified());
            // Listen first, then look: an event between the two must not be missed.
            changed.as_mut().enable();
            match self.look() {
                Next::Event(number, event) => {
                    self.seen = number;
                    return Some(event);
                }
                Next::End => return None,
                Next::NotYet => changed.await,
            }
        }
    }

    fn look(&self) -> Next<T> {
        let history = self.feed.history();
        let first_unseen = history.milestones.partition_point(|(number, _)| *number <= self.seen);
        let unseen_update = history.update.iter().find(|(number, _)| *number > self.seen);
        match history.milestones.get(first_unseen).or(unseen_update) {
            Some((number, event)) => Next::Event(*number, event.clone()),
            None if history.closed => Next::End,
            None => Next::NotYet,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn rest(mut subscription: Subscription<&'static str>) -> Vec<&'static str> {
        let mut events = Vec::new();
        while let Some(event) = subscription.next().await {
            events.push(event);
        }
        events
    }

    #[tokio::test]
    async fn a_late_listener_sees_every_milestone_and_the_end() {
        let feed = Feed::new();
        feed.milestone("queued");
        feed.milestone("processing");
        feed.update("50 %");
        feed.finish("completed");
        feed.milestone("after the end");
        assert_eq!(rest(feed.subscribe()).await, ["queued", "processing", "completed"]);
    }

    #[tokio::test]
    async fn only_the_latest_update_is_kept() {
        let feed = Feed::new();
        feed.milestone("processing");
        for update in ["1 %", "2 %", "3 %"] {
            feed.update(update);
        }
        let mut listener = feed.subscribe();
        assert_eq!(listener.next().await, Some("processing"));
        assert_eq!(listener.next().await, Some("3 %"));
        assert_eq!(feed.latest(), Some("3 %"));
    }

    #[tokio::test]
    async fn a_waiting_listener_is_woken() {
        let feed = Feed::new();
        let listeners: Vec<_> = (0..100).map(|_| tokio::spawn(rest(feed.subscribe()))).collect();
        tokio::task::yield_now().await;
        feed.milestone("a");
        tokio::task::yield_now().await;
        feed.finish("b");
        for listener in listeners {
            assert_eq!(listener.await.expect("no panic"), ["a", "b"]);
        }
    }

    #[tokio::test]
    async fn nobody_listening_costs_one_update() {
        let feed = Feed::new();
        for number in 0..100_000 {
            feed.update(number);
        }
        assert_eq!(feed.history().milestones.len(), 0);
        assert_eq!(feed.latest(), Some(99_999));
    }
}
