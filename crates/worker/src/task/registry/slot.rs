//! The place of a job: while it runs, and while its result waits.

use super::{Control, Registry};

/// A running job's place; given back when it ends, or at the latest when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    registry: Registry,
    job_id: String,
    attempt: u32,
    control: Control,
    ended: bool,
}

impl Slot {
    pub(super) fn new(registry: Registry, job_id: String, attempt: u32, control: Control) -> Self {
        Self { registry, job_id, attempt, control, ended: false }
    }

    /// How the job is stopped.
    pub(crate) fn control(&self) -> &Control {
        &self.control
    }

    /// Gives the place back. While there is a lease, the job stays known until its result was collected.
    pub(crate) fn end(mut self) -> Option<Kept> {
        let permit = self.control.permit();
        let keep = permit.is_leased() && !permit.has_lapsed();
        self.give_back(keep);
        keep.then(|| Kept {
            registry: self.registry.clone(),
            job_id: self.job_id.clone(),
            attempt: self.attempt,
            control: self.control.clone(),
        })
    }

    fn give_back(&mut self, keep: bool) {
        self.ended = true;
        let mut jobs = self.registry.jobs();
        if keep {
            if let Some(entry) = jobs.entries.get_mut(&self.job_id) {
                entry.kept = true;
            }
        } else {
            jobs.entries.remove(&self.job_id);
        }
        self.registry.tell(&jobs, 1);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !self.ended {
            self.give_back(false);
        }
    }
}

/// A result that waits for its collection; forgotten when dropped.
#[derive(Debug)]
pub(crate) struct Kept {
    registry: Registry,
    job_id: String,
    attempt: u32,
    control: Control,
}

impl Kept {
    /// Ends when nobody needs the result any more.
    pub(crate) async fn collected(&self) {
        self.control.unneeded().await;
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // A later attempt may have the place by now.
        self.registry.release(&self.job_id, self.attempt);
    }
}
