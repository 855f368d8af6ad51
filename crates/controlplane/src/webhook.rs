//! Callbacks: each job with a `callback_url` tells it how it ended, at least once, whatever dies in between.
//!
//! A callback is written down together with the end of its job. A [`Deliverer`] takes what is due from the store, sends
//! it, and removes it once it has arrived; what did not arrive is due again later, until a day after the job's end.
//!
//! - [`payload`]: what it says
//! - [`signature`]: how the receiver knows who says so
//! - [`schedule`]: when it is tried again
//! - `client`: sends one, to allowed addresses only
//! - `lanes`: which ones are sent at the same time
//! - [`deliver`]: takes them from the store and settles them

mod client;
pub mod deliver;
mod lanes;
pub mod payload;
pub mod schedule;
pub mod signature;

use jiff::Timestamp;
use uuid::Uuid;

pub use self::{
    deliver::{Deliverer, Limits},
    signature::Secrets,
};
use crate::{
    job::Job,
    store::{CallbackId, outbox::NewCallback},
};

/// How callbacks are sent.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// `WEBHOOK_SECRET`; without it, callbacks are not signed.
    pub secrets: Option<Secrets>,
    /// `INPUT_ALLOW_LOOPBACK`: they may go to this machine.
    pub allow_loopback: bool,
}

/// The callback to write down with the end of `job`; `None` where nobody wants one, or the job has not ended.
#[must_use]
pub fn callback(job: &Job, now: Timestamp) -> Option<NewCallback> {
    let url = job.spec.callback_url.clone()?;
    let payload = payload::build(job, now)?;
    Some(NewCallback { id: CallbackId(Uuid::new_v4()), url, payload })
}
