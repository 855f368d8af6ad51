//! How a stub behaves.

use std::time::Duration;

use tonic::Status;

/// How a stub behaves where a script cannot tell it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Manners {
    /// How many jobs it admits.
    pub(crate) slots: usize,
    /// Says that it has room when it has not.
    pub(crate) boasts: bool,
    /// Refuses every job with this.
    pub(crate) refusal: Option<Status>,
    /// Which questions for its status it answers.
    pub(crate) answers: Answers,
    /// Takes a job without ever saying so.
    pub(crate) never_admits: bool,
    /// How long its leases last, and its fence; without, its tasks end with their stream.
    pub(crate) lease: Option<(Duration, Duration)>,
    /// Name of the place where it listens, when it has leases.
    pub(crate) place: String,
    /// Does not answer to renewals and does not let anybody attach, as if it were paused.
    pub(crate) is_paused: bool,
    /// Whether it knows how to plan jobs, and the tasks of split ones.
    pub(crate) release: Release,
}

/// Which release a stub is of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Release {
    /// It knows whole jobs only.
    #[default]
    Old,
    /// It says that it splits jobs.
    Splits,
}

/// Which questions a stub answers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Answers {
    #[default]
    All,
    /// The first, the fourth and so on.
    EveryThird,
    None,
}
