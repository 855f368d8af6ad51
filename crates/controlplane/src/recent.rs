//! Everything that runs, and the last of what has finished: memory that cannot grow without end.

use std::collections::{HashMap, VecDeque};

use crate::job::JobId;

/// How many finished jobs are kept.
pub const FINISHED_JOBS: usize = 10_000;

/// One value a job.
#[derive(Debug)]
pub struct Recent<V> {
    entries: HashMap<JobId, V>,
    /// Oldest first.
    finished: VecDeque<JobId>,
    limit: usize,
}

impl<V> Recent<V> {
    /// An empty collection that keeps `limit` finished jobs.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { entries: HashMap::new(), finished: VecDeque::new(), limit }
    }

    /// Adds a running job.
    pub fn insert(&mut self, id: JobId, value: V) {
        self.entries.insert(id, value);
    }

    /// The job's value.
    #[must_use]
    pub fn get(&self, id: JobId) -> Option<&V> {
        self.entries.get(&id)
    }

    /// The job's value, to change it.
    pub fn get_mut(&mut self, id: JobId) -> Option<&mut V> {
        self.entries.get_mut(&id)
    }

    /// Notes that a job has finished, once a job. The job that finished first makes room.
    pub fn finish(&mut self, id: JobId) {
        self.finished.push_back(id);
        if self.finished.len() > self.limit
            && let Some(oldest) = self.finished.pop_front()
        {
            self.entries.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_job_that_finished_first_makes_room() {
        let mut recent = Recent::new(2);
        let ids: Vec<_> = (0..4).map(|_| JobId::random()).collect();
        for id in &ids {
            recent.insert(*id, ());
        }
        for id in [ids[2], ids[1], ids[3]] {
            recent.finish(id);
        }
        let kept: Vec<_> = ids.iter().map(|id| recent.get(*id).is_some()).collect();
        assert_eq!(kept, [true, true, false, true], "the running job and the last two");
    }
}
