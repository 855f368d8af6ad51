//! Which faults strike when. A function of the seed and of what there is to strike; nothing of it depends on the run.

use std::{fmt, time::Duration};

use super::seed::Dice;

/// What can be struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// How many workers.
    pub workers: usize,
    /// How many control planes.
    pub planes: usize,
    /// Whether the store is a server that can be stopped.
    pub store: bool,
    /// Whether the workers' disks can be filled.
    pub disk: bool,
}

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// SIGKILL; started again once the fault is over.
    KillWorker,
    /// SIGTERM, as for an upgrade.
    StopWorker,
    /// SIGSTOP and SIGCONT.
    PauseWorker,
    /// SIGKILL of an encoder.
    KillEncoder,
    /// SIGKILL.
    KillPlane,
    /// SIGTERM.
    StopPlane,
    /// SIGSTOP and SIGCONT.
    PausePlane,
    /// Connections to a worker break, and there are no new ones.
    CutWorker,
    /// Connections to a worker stand still.
    FreezeWorker,
    /// Connections to a worker break; new ones work.
    BreakWorker,
    /// No room on a worker's disk.
    FillDisk,
    /// SIGKILL of the S3 server.
    KillS3,
    /// The store's server is stopped.
    StopStore,
}

impl Kind {
    /// Every kind, with how often it is chosen.
    const WEIGHTS: [(Self, u64); 13] = [
        (Self::KillWorker, 20),
        (Self::StopWorker, 8),
        (Self::PauseWorker, 10),
        (Self::KillEncoder, 12),
        (Self::KillPlane, 16),
        (Self::StopPlane, 7),
        (Self::PausePlane, 6),
        (Self::CutWorker, 8),
        (Self::FreezeWorker, 8),
        (Self::BreakWorker, 8),
        (Self::FillDisk, 5),
        (Self::KillS3, 6),
        (Self::StopStore, 4),
    ];

    /// For people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::KillWorker => "SIGKILL worker",
            Self::StopWorker => "SIGTERM worker",
            Self::PauseWorker => "SIGSTOP worker",
            Self::KillEncoder => "SIGKILL ffmpeg",
            Self::KillPlane => "SIGKILL control plane",
            Self::StopPlane => "SIGTERM control plane",
            Self::PausePlane => "SIGSTOP control plane",
            Self::CutWorker => "cut worker off",
            Self::FreezeWorker => "freeze connections",
            Self::BreakWorker => "break connections",
            Self::FillDisk => "fill disk",
            Self::KillS3 => "SIGKILL S3",
            Self::StopStore => "stop store",
        }
    }

    /// How many there are to strike.
    fn targets(self, shape: Shape) -> usize {
        match self {
            Self::KillPlane | Self::StopPlane | Self::PausePlane => shape.planes,
            Self::KillS3 => 1,
            Self::StopStore => usize::from(shape.store),
            Self::FillDisk if !shape.disk => 0,
            Self::KillWorker
            | Self::StopWorker
            | Self::PauseWorker
            | Self::KillEncoder
            | Self::CutWorker
            | Self::FreezeWorker
            | Self::BreakWorker
            | Self::FillDisk => shape.workers,
        }
    }

    /// How long it lasts, in milliseconds: shorter and longer than a lease.
    fn lasts(self) -> (u64, u64) {
        match self {
            Self::KillWorker | Self::StopWorker => (0, 6_000),
            Self::KillPlane | Self::StopPlane => (0, 4_000),
            Self::PauseWorker => (1_000, 12_000),
            // Longer than its lease, now and then: another takes its jobs over, and it must notice.
            Self::PausePlane => (1_000, 20_000),
            Self::CutWorker | Self::FreezeWorker => (1_000, 15_000),
            Self::KillEncoder | Self::BreakWorker => (0, 0),
            Self::FillDisk => (1_000, 10_000),
            Self::KillS3 => (500, 6_000),
            Self::StopStore => (500, 5_000),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// When, from the beginning of the load.
    pub at: Duration,
    /// What.
    pub kind: Kind,
    /// Whom, counted from 0.
    pub target: usize,
    /// For how long.
    pub lasts: Duration,
}

/// The faults of a run, in order. They begin once there is something to strike, and are over when the time is.
#[must_use]
pub fn plan(seed: u64, time: Duration, shape: Shape) -> Vec<Fault> {
    let mut dice = Dice::new(seed, 1);
    let mut faults = Vec::new();
    let mut at = Duration::from_secs(3);
    loop {
        at += dice.millis(400, 3_200);
        let fault = one(&mut dice, at, shape);
        if at >= time {
            return faults;
        }
        faults.push(Fault { lasts: fault.lasts.min(time.saturating_sub(at)), ..fault });
    }
}

fn one(dice: &mut Dice, at: Duration, shape: Shape) -> Fault {
    let kinds = Kind::WEIGHTS.iter().filter(|(kind, _)| kind.targets(shape) > 0);
    let total = kinds.clone().map(|(_, weight)| weight).sum();
    let mut roll = dice.below(total);
    for (kind, weight) in kinds {
        if roll < *weight {
            let target = usize::try_from(dice.below(kind.targets(shape) as u64)).expect("below a count");
            let (from, to) = kind.lasts();
            return Fault { at, kind: *kind, target, lasts: dice.millis(from, to) };
        }
        roll -= weight;
    }
    unreachable!("a roll is below the sum of the weights")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const SHAPE: Shape = Shape { workers: 3, planes: 2, store: true, disk: true };
    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn a_seed_gives_the_same_faults_again() {
        assert_eq!(plan(42, HOUR, SHAPE), plan(42, HOUR, SHAPE));
        assert_ne!(plan(42, HOUR, SHAPE), plan(43, HOUR, SHAPE));
    }

    #[test]
    fn a_longer_run_begins_like_a_shorter_one() {
        let (short, long) = (plan(42, Duration::from_mins(1), SHAPE), plan(42, HOUR, SHAPE));
        let begin = |faults: &[Fault]| faults.iter().map(|fault| (fault.at, fault.kind)).collect::<Vec<_>>();
        assert_eq!(begin(&short), begin(&long)[..short.len()]);
    }

    #[test]
    fn faults_are_over_when_the_time_is() {
        for fault in plan(42, HOUR, SHAPE) {
            assert!(fault.at + fault.lasts <= HOUR, "{fault:?}");
        }
    }

    #[test]
    fn every_kind_strikes_everybody() {
        let struck: BTreeSet<_> = plan(42, HOUR, SHAPE).iter().map(|fault| (fault.kind, fault.target)).collect();
        for (kind, _) in Kind::WEIGHTS {
            for target in 0..kind.targets(SHAPE) {
                assert!(struck.contains(&(kind, target)), "{kind} {target}");
            }
        }
    }

    #[test]
    fn what_is_not_there_is_not_struck() {
        let shape = Shape { store: false, disk: false, planes: 1, ..SHAPE };
        for fault in plan(42, HOUR, shape) {
            assert!(fault.target < fault.kind.targets(shape), "{fault:?}");
        }
    }
}
