//! How many files the process may have open, and how many of them may be connections of clients.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The soft limit that most systems start a process with.
pub const USUAL: u64 = 1024;

/// What is kept for connections to workers and for everything else, where the limit is generous.
const RESERVE: u64 = 4096;

/// Raises the process's soft limit on open files to the hard one, and tells it.
///
/// # Errors
/// When the limit cannot be read or changed.
pub fn raise() -> io::Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

/// How many clients may be connected under this limit. Without a rest for workers, clients could stop all work.
#[must_use]
pub fn connections(limit: u64) -> usize {
    let connections = limit - RESERVE.min(limit / 2);
    usize::try_from(connections).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::none(0, 0)]
    #[case::usual(USUAL, 512)]
    #[case::generous(20_000, 15_904)]
    #[case::more(1 << 20, (1 << 20) - 4096)]
    fn workers_keep_a_share(#[case] limit: u64, #[case] clients: usize) {
        assert_eq!(connections(limit), clients);
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let raised = raise().expect("every process may do so");
        let limits = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
        assert_eq!(limits, (raised, raised));
    }
}
