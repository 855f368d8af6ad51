//! Who is to blame for a failure, which decides whether another try may work.

/// Who can mend a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The input or the request: the job fails on every worker.
    Job,
    /// The machine, its disk, its network or its storage: another try may work.
    Infrastructure,
}
