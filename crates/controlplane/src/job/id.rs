//! The name of a job: a UUID.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::{NoContext, Timestamp, Uuid};

/// The name of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(Uuid);

impl JobId {
    /// A new name that nobody can guess: 74 bits of it are random. It begins with the time, so that the indexes of a
    /// store grow at their end, where the last job is still at hand.
    #[must_use]
    pub fn random() -> Self {
        // Not `now_v7`, which counts on from one name to the next.
        Self(Uuid::new_v7(Timestamp::now(NoContext)))
    }

    /// The name as a UUID.
    #[must_use]
    pub fn uuid(self) -> Uuid {
        self.0
    }
}

impl From<Uuid> for JobId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for JobId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_begin_with_the_time_and_go_on_at_random() {
        let [first, second] = [JobId::random(), JobId::random()].map(|id| id.uuid().as_u128());
        let (day, random) = (24 * 60 * 60 * 1000, (1_u128 << 32) - 1);
        assert!((second >> 80).abs_diff(first >> 80) < day, "{first:x} {second:x}");
        assert_ne!(first & random, second & random);
    }

    #[test]
    fn reads_what_it_writes() {
        let id = JobId::random();
        assert_eq!(id.to_string().parse::<JobId>().expect("a UUID"), id);
        assert!("job-1".parse::<JobId>().is_err());
    }
}
