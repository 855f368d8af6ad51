//! Which callbacks are sent at the same time: few to one host, so that a dead one does not hold up the others, and not too
//! many to hosts that have not answered quickly of late. Pure.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

use tokio::time::Instant;
use url::Url;

use crate::store::{Callback, CallbackId};

/// How many callbacks are sent and held at a time.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Sent at the same time.
    pub at_once: usize,
    /// Sent to one host at the same time.
    pub per_host: usize,
    /// Sent at the same time to hosts that are not known to answer quickly.
    pub to_strangers: usize,
    /// Held in memory until it is their turn.
    pub waiting: usize,
    /// Of these, for hosts that are not known to answer quickly. Others stay in the store until they are due again.
    pub waiting_for_strangers: usize,
    /// Of these, for a host that fails or is slow. Others stay in the store until they are due again.
    pub waiting_for_slow: usize,
}

/// A callback whose turn it is.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) callback: Callback,
    pub(super) host: String,
    /// The host is not known to answer quickly.
    to_stranger: bool,
}

/// Callbacks that this process has taken from the store.
#[derive(Debug)]
pub(super) struct Lanes {
    bounds: Bounds,
    waiting: VecDeque<Waiting>,
    hosts: HashMap<String, Host>,
    held: HashSet<CallbackId>,
    quick: Quick,
    running: usize,
    running_to_strangers: usize,
}

/// Hosts that answered quickly when they were last sent a callback, the latest last.
#[derive(Debug, Default)]
struct Quick(VecDeque<String>);

impl Quick {
    fn has(&self, host: &str) -> bool {
        self.0.iter().any(|known| known == host)
    }

    fn note(&mut self, host: &str, slow: bool) {
        self.0.retain(|known| known != host);
        if !slow {
            self.0.push_back(host.to_owned());
            if self.0.len() > MAX_QUICK {
                self.0.pop_front();
            }
        }
    }
}

#[derive(Debug)]
struct Waiting {
    turn: Turn,
    /// When it is too late to begin: somebody else may take it soon.
    until: Instant,
}

/// What is known of a host while callbacks for it are held.
#[derive(Debug, Default)]
struct Host {
    running: usize,
    waiting: usize,
    slow: bool,
}

impl Lanes {
    pub(super) fn new(bounds: Bounds) -> Self {
        let (waiting, hosts, held) = (VecDeque::new(), HashMap::new(), HashSet::new());
        Self { bounds, waiting, hosts, held, quick: Quick::default(), running: 0, running_to_strangers: 0 }
    }

    /// How many more may be held.
    pub(super) fn room(&self) -> usize {
        self.bounds.waiting.saturating_sub(self.waiting.len())
    }

    /// Holds a callback until it is its turn, or lets it be: it is due again once `hold` is over.
    pub(super) fn hold(&mut self, callback: Callback, until: Instant) {
        let host = host(&callback.url);
        let to_stranger = !self.quick.has(&host);
        let strangers = self.waiting.iter().filter(|waiting| waiting.turn.to_stranger).count();
        let crowded = to_stranger && strangers >= self.bounds.waiting_for_strangers;
        let lane = self.hosts.entry(host.clone()).or_default();
        let full = crowded || (lane.slow && lane.waiting >= self.bounds.waiting_for_slow);
        if !full && self.held.insert(callback.id) {
            lane.waiting += 1;
            self.waiting.push_back(Waiting { turn: Turn { callback, host, to_stranger }, until });
        } else {
            self.forget(&host);
        }
    }

    /// The callback that is to be sent now, if one is.
    pub(super) fn start(&mut self, now: Instant) -> Option<Turn> {
        while self.running < self.bounds.at_once {
            let free = |waiting: &Waiting| {
                let Turn { host, to_stranger, .. } = &waiting.turn;
                let has_room = !to_stranger || self.running_to_strangers < self.bounds.to_strangers;
                has_room && self.hosts.get(host).is_none_or(|lane| lane.running < self.bounds.per_host)
            };
            let Waiting { turn, until } = self.waiting.remove(self.waiting.iter().position(free)?)?;
            let lane = self.hosts.entry(turn.host.clone()).or_default();
            lane.waiting -= 1;
            if until > now {
                lane.running += 1;
                self.running += 1;
                self.running_to_strangers += usize::from(turn.to_stranger);
                return Some(turn);
            }
            self.let_go(&turn);
        }
        None
    }

    /// Notes that a callback was sent, or was not, and how long that took.
    pub(super) fn end(&mut self, turn: &Turn, slow: bool) {
        self.running -= 1;
        self.running_to_strangers -= usize::from(turn.to_stranger);
        self.quick.note(&turn.host, slow);
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.turn.host == turn.host) {
            waiting.turn.to_stranger = slow;
        }
        let lane = self.hosts.entry(turn.host.clone()).or_default();
        lane.running -= 1;
        lane.slow = slow;
        if slow && lane.waiting > self.bounds.waiting_for_slow {
            self.thin_out(&turn.host);
        }
        self.let_go(turn);
    }

    /// Lets callbacks be that would wait too long.
    fn thin_out(&mut self, host: &str) {
        let mut kept = 0;
        for waiting in std::mem::take(&mut self.waiting) {
            if waiting.turn.host != host || kept < self.bounds.waiting_for_slow {
                kept += usize::from(waiting.turn.host == host);
                self.waiting.push_back(waiting);
            } else {
                self.held.remove(&waiting.turn.callback.id);
            }
        }
        self.hosts.entry(host.to_owned()).or_default().waiting = kept;
    }

    fn let_go(&mut self, turn: &Turn) {
        self.held.remove(&turn.callback.id);
        self.forget(&turn.host);
    }

    /// Nothing is remembered of a host that nothing is held for.
    fn forget(&mut self, host: &str) {
        if self.hosts.get(host).is_some_and(|lane| lane.running == 0 && lane.waiting == 0) {
            self.hosts.remove(host);
        }
    }
}

/// Hosts that are known to answer quickly, at most.
const MAX_QUICK: usize = 256;

/// Longer than this is slow.
pub(super) const SLOW: Duration = Duration::from_secs(1);

fn host(url: &str) -> String {
    Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::job::JobId;

    const BOUNDS: Bounds =
        Bounds { at_once: 3, per_host: 2, to_strangers: 3, waiting: 8, waiting_for_strangers: 8, waiting_for_slow: 2 };

    fn callback(id: u128, host: &str) -> Callback {
        Callback {
            id: CallbackId(Uuid::from_u128(id)),
            job: JobId::random(),
            url: format!("http://{host}/hook"),
            payload: "{}".to_owned(),
            created_at: Timestamp::UNIX_EPOCH,
            failures: 0,
        }
    }

    fn lanes(hosts: &[&str]) -> (Lanes, Instant) {
        let (mut lanes, now) = (Lanes::new(BOUNDS), Instant::now());
        for (id, host) in (0..).zip(hosts) {
            lanes.hold(callback(id, host), now + Duration::from_mins(1));
        }
        (lanes, now)
    }

    fn started(lanes: &mut Lanes, now: Instant) -> Vec<Turn> {
        std::iter::from_fn(|| lanes.start(now)).collect()
    }

    fn ids(turns: &[Turn]) -> Vec<u128> {
        turns.iter().map(|turn| turn.callback.id.0.as_u128()).collect()
    }

    #[tokio::test]
    async fn one_host_does_not_take_every_place() {
        let (mut lanes, now) = lanes(&["dead", "dead", "DEAD", "dead", "alive", "other"]);
        let turns = started(&mut lanes, now);
        assert_eq!(ids(&turns), [0, 1, 4]);
        lanes.end(&turns[2], false);
        assert_eq!(ids(&started(&mut lanes, now)), [5]);
        lanes.end(&turns[0], false);
        assert_eq!(ids(&started(&mut lanes, now)), [2]);
    }

    #[tokio::test]
    async fn what_waits_for_a_slow_host_is_bounded() {
        let (mut lanes, now) = lanes(&["slow", "slow", "slow", "slow", "slow", "slow", "quick"]);
        let turns = started(&mut lanes, now);
        assert_eq!(lanes.room(), 8 - 4);
        lanes.end(&turns[0], true);
        assert_eq!(lanes.room(), 8 - 2, "two of four were let be");
        lanes.hold(callback(9, "slow"), now + Duration::from_mins(1));
        assert_eq!(lanes.room(), 8 - 2, "and no more are taken");
        lanes.end(&turns[1], false);
        lanes.hold(callback(9, "slow"), now + Duration::from_mins(1));
        assert_eq!(lanes.room(), 8 - 3, "until it is quick again");
    }

    #[tokio::test]
    async fn strangers_leave_room_for_those_who_answer() {
        let bounds = Bounds { to_strangers: 2, waiting_for_strangers: 3, ..BOUNDS };
        let (mut lanes, now) = (Lanes::new(bounds), Instant::now());
        let hold = |lanes: &mut Lanes, id, host| lanes.hold(callback(id, host), now + Duration::from_mins(1));
        hold(&mut lanes, 0, "friend");
        let turns = started(&mut lanes, now);
        lanes.end(&turns[0], false);
        for (id, host) in (1..).zip(["a", "b", "c", "d", "friend", "friend"]) {
            hold(&mut lanes, id, host);
        }
        // The third stranger waits for the others, the fourth in the store.
        let turns = started(&mut lanes, now);
        assert_eq!(ids(&turns), [1, 2, 5]);
        assert_eq!(lanes.room(), 8 - 2);
        lanes.end(&turns[2], true);
        assert_eq!(ids(&started(&mut lanes, now)), [0; 0], "who is slow is a stranger again");
        lanes.end(&turns[0], true);
        assert_eq!(ids(&started(&mut lanes, now)), [3]);
    }

    #[tokio::test]
    async fn one_that_is_held_is_not_held_twice() {
        let (mut lanes, now) = lanes(&["a"]);
        lanes.hold(callback(0, "a"), now + Duration::from_mins(1));
        let turns = started(&mut lanes, now);
        assert_eq!(ids(&turns), [0]);
        lanes.hold(callback(0, "a"), now + Duration::from_mins(1));
        assert_eq!(lanes.room(), 8);
    }

    #[tokio::test]
    async fn what_waited_too_long_is_let_be_and_nothing_is_left_behind() {
        let (mut lanes, now) = lanes(&["a", "b"]);
        assert!(lanes.start(now + Duration::from_secs(61)).is_none());
        assert!(lanes.hosts.is_empty() && lanes.held.is_empty() && lanes.waiting.is_empty());
    }
}
