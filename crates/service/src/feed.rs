//! The events of one job, for any number of listeners, early or late.
//!
//! Milestones (status changes) are kept and every listener gets each of them, in order. Of the updates between two
//! milestones (percentages) only the latest is kept. So a slow or absent listener costs no memory and holds up nobody,
//! and a job may report as often as it likes. The caller must see to it that milestones are few.

use std::{
    fmt,
    pin::pin,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// The place of an event among those of its feed, such as `3.17`: an update after the third milestone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Number of the milestone, from 1; 0 is before the first.
    pub milestone: u32,
    /// Number of the update after it, growing but not without gaps; 0 is the milestone itself.
    pub update: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.milestone, self.update)
    }
}

/// A text that is no place in a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an event's id, such as 3.17")]
pub struct NoPosition;

impl FromStr for Position {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (milestone, update) = text.split_once('.').ok_or(NoPosition)?;
        let number = |text: &str| text.parse().map_err(|_| NoPosition);
        Ok(Self { milestone: number(milestone)?, update: number(update)? })
    }
}

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
    /// The first one has number 1.
    milestones: Vec<T>,
    /// The newest update after the newest milestone.
    update: Option<(u32, T)>,
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
        let history = History { milestones: Vec::new(), update: None, closed: false };
        Self { shared: Arc::new(Shared { history: Mutex::new(history), changed: Notify::new() }) }
    }

    /// Adds an event that every listener will see.
    pub fn milestone(&self, event: T) {
        self.add(|history| history.milestone(event));
    }

    /// Adds an event that every listener will see, unless it is known already or one before it is not.
    pub fn milestone_at(&self, number: u32, event: T) {
        self.add(|history| {
            if number == history.newest().milestone + 1 {
                history.milestone(event);
            }
        });
    }

    /// Adds an event that the next event replaces, for listeners who have not seen it by then.
    pub fn update(&self, event: T) {
        self.update_from(0, event);
    }

    /// Adds an event that the next event replaces, under a number of at least `least`. Answers the number: it grows from
    /// update to update since the last milestone.
    pub fn update_from(&self, least: u32, event: T) -> u32 {
        let mut number = 0;
        self.add(|history| {
            number = least.max(history.newest().update.saturating_add(1));
            history.update = Some((number, event));
        });
        number
    }

    /// Adds an event that the next event replaces, unless it is older than what is known.
    pub fn update_at(&self, position: Position, event: T) {
        self.add(|history| {
            let newest = history.newest();
            if position.milestone == newest.milestone && position.update > newest.update {
                history.update = Some((position.update, event));
            }
        });
    }

    /// Adds the last event: listeners see it, then the end. What is added later is dropped.
    pub fn finish(&self, event: T) {
        self.add(|history| {
            history.milestone(event);
            history.closed = true;
        });
    }

    /// Says that no event will follow.
    pub fn close(&self) {
        self.add(|history| history.closed = true);
    }

    /// The newest event.
    #[must_use]
    pub fn latest(&self) -> Option<T> {
        let history = self.history();
        let update = history.update.as_ref().map(|(_, event)| event);
        update.or(history.milestones.last()).cloned()
    }

    /// The place of the newest event.
    #[must_use]
    pub fn newest(&self) -> Position {
        self.history().newest()
    }

    /// True while somebody else holds this feed, such as a listener.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.shared) > 1
    }

    /// A listener who starts with the first event.
    #[must_use]
    pub fn subscribe(&self) -> Subscription<T> {
        self.subscribe_after(Position::default())
    }

    /// A listener who has seen everything up to `seen`.
    #[must_use]
    pub fn subscribe_after(&self, seen: Position) -> Subscription<T> {
        Subscription { feed: self.clone(), seen }
    }

    fn add(&self, change: impl FnOnce(&mut History<T>)) {
        let mut history = self.history();
        if history.closed {
            return;
        }
        change(&mut history);
        drop(history);
        self.shared.changed.notify_waiters();
    }

    /// What follows what a listener has seen.
    fn look(&self, seen: Position) -> Next<T> {
        let history = self.history();
        let milestones = usize::try_from(seen.milestone).unwrap_or(usize::MAX);
        if let Some(event) = history.milestones.get(milestones) {
            return Next::Event(Position { milestone: seen.milestone + 1, update: 0 }, event.clone());
        }
        let newest = history.newest();
        match &history.update {
            Some((_, event)) if newest > seen => Next::Event(newest, event.clone()),
            Some(_) | None if history.closed => Next::End,
            Some(_) | None => Next::NotYet,
        }
    }

    fn history(&self) -> MutexGuard<'_, History<T>> {
        // No code that can panic runs under this lock.
        self.shared.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> History<T> {
    fn milestone(&mut self, event: T) {
        self.update = None;
        self.milestones.push(event);
    }

    fn newest(&self) -> Position {
        let milestone = u32::try_from(self.milestones.len()).unwrap_or(u32::MAX);
        Position { milestone, update: self.update.as_ref().map_or(0, |(number, _)| *number) }
    }
}

/// One listener's place in a feed.
#[derive(Debug)]
pub struct Subscription<T> {
    feed: Feed<T>,
    seen: Position,
}

enum Next<T> {
    Event(Position, T),
    End,
    NotYet,
}

impl<T: Clone> Subscription<T> {
    /// Waits for the next event; `None` after the last. Cancel safe.
    pub async fn next(&mut self) -> Option<T> {
        self.next_at().await.map(|(_, event)| event)
    }

    /// Waits for the next event and its place; `None` after the last. Cancel safe.
    pub async fn next_at(&mut self) -> Option<(Position, T)> {
        let Self { feed, seen } = self;
        loop {
            let mut changed = pin!(feed.shared.changed.notified());
            // Listen first, then look: an event between the two must not be missed.
            changed.as_mut().enable();
            match feed.look(*seen) {
                Next::Event(position, event) => {
                    *seen = position;
                    return Some((position, event));
                }
                Next::End => return None,
                Next::NotYet => changed.await,
            }
        }
    }

    /// Whether there is nothing left, and nothing will come.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.feed.look(self.seen), Next::End)
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
    async fn a_listener_resumes_where_it_was() {
        let feed = Feed::new();
        feed.milestone("queued");
        feed.milestone("processing");
        assert_eq!((feed.update_from(0, "1 %"), feed.update_from(9, "2 %")), (1, 9));
        let mut listener = feed.subscribe_after("2.1".parse().expect("a position"));
        assert_eq!(listener.next_at().await, Some((Position { milestone: 2, update: 9 }, "2 %")));
        feed.finish("completed");
        assert!(!listener.is_over());
        assert_eq!(listener.next_at().await.map(|(position, _)| position.to_string()), Some("3.0".to_owned()));
        assert!(listener.is_over());
        assert_eq!(listener.next().await, None);
        assert_eq!(rest(feed.subscribe_after(Position { milestone: 9, update: 9 })).await, [""; 0]);
    }

    #[test]
    fn a_follower_takes_each_event_once_and_in_order() {
        let feed = Feed::new();
        feed.milestone_at(2, "too early");
        feed.milestone_at(1, "queued");
        feed.milestone_at(1, "again");
        feed.update_at(Position { milestone: 1, update: 5 }, "5");
        feed.update_at(Position { milestone: 1, update: 4 }, "4");
        feed.update_at(Position { milestone: 2, update: 9 }, "9");
        assert_eq!((feed.newest(), feed.latest()), (Position { milestone: 1, update: 5 }, Some("5")));
    }

    #[test]
    fn a_position_reads_as_it_is_written() {
        assert_eq!("3.17".parse(), Ok(Position { milestone: 3, update: 17 }));
        for wrong in ["", "3", "3.", ".1", "3.x", "-1.0", "99999999999.0"] {
            assert_eq!(wrong.parse::<Position>(), Err(NoPosition), "{wrong}");
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
