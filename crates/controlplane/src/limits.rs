//! How long the control plane waits for what, and for how many at a time. Fixed in service, other in tests.

use std::time::Duration;

use crate::open_files;

/// How long the control plane waits for what, and for how many at a time.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many clients may be connected. More wait until others leave.
    pub connections: usize,
    /// How many requests may wait for a worker at a time. More would only pile up connections.
    pub admissions: usize,
    /// For a worker to say whether it has room, before the next is asked too.
    pub stagger: Duration,
    /// For a worker that has said it has room, to admit a job.
    pub admission: Duration,
    /// For a word about a job, before its worker is asked whether it still runs it.
    pub silence: Duration,
    /// For the answer to that question.
    pub question: Duration,
    /// For a worker to acknowledge a cancellation.
    pub cancel_call: Duration,
    /// For a cancelled job to end, before its stream is dropped.
    pub cancel_end: Duration,
    /// For a task without a lease to end, once its stream is lost and its worker does not answer.
    pub unleased: Duration,
    /// For a stream to end after the last event, so that the worker can clean up undisturbed.
    pub farewell: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: open_files::connections(open_files::USUAL),
            admissions: 512,
            stagger: Duration::from_millis(50),
            admission: Duration::from_secs(10),
            silence: Duration::from_secs(30),
            question: Duration::from_secs(10),
            cancel_call: Duration::from_secs(5),
            cancel_end: Duration::from_secs(30),
            unleased: Duration::from_mins(1),
            farewell: Duration::from_secs(2),
        }
    }
}
