//! What is counted in a run, and what must never be.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// Examples that are kept of each kind of violation.
const EXAMPLES: usize = 5;

/// The counts of a run.
#[derive(Debug)]
pub struct Tally {
    start: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    counts: BTreeMap<(&'static str, String), u64>,
    violations: BTreeMap<&'static str, (u64, Vec<String>)>,
}

impl Default for Tally {
    fn default() -> Self {
        Self { start: Instant::now(), inner: Mutex::default() }
    }
}

impl Tally {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one thing of a group.
    pub fn count(&self, group: &'static str, name: impl Into<String>) {
        self.add(group, name, 1);
    }

    /// Counts several.
    pub fn add(&self, group: &'static str, name: impl Into<String>, more: u64) {
        *self.lock().counts.entry((group, name.into())).or_default() += more;
    }

    /// Prints a line under the time of the run.
    pub fn say(&self, text: impl fmt::Display) {
        println!("{:8.2} s  {text}", self.start.elapsed().as_secs_f64());
    }

    /// Notes that something has happened which never may. Printed at once, as long as there are not many.
    pub fn violation(&self, kind: &'static str, detail: impl fmt::Display) {
        let detail = detail.to_string();
        let mut inner = self.lock();
        let (count, examples) = inner.violations.entry(kind).or_default();
        *count += 1;
        if examples.len() < EXAMPLES {
            examples.push(detail.clone());
            drop(inner);
            self.say(format!("VIOLATION {kind}: {detail}"));
        }
    }

    /// How many violations there are.
    #[must_use]
    pub fn violations(&self) -> u64 {
        self.lock().violations.values().map(|(count, _)| count).sum()
    }

    /// How many of one thing there are.
    #[must_use]
    pub fn get(&self, group: &'static str, name: &str) -> u64 {
        self.lock().counts.get(&(group, name.to_owned())).copied().unwrap_or_default()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.lock();
        let mut last = "";
        for ((group, name), count) in &inner.counts {
            if *group != last {
                writeln!(f, "{group}:")?;
                last = group;
            }
            writeln!(f, "  {count:7}  {name}")?;
        }
        let total: u64 = inner.violations.values().map(|(count, _)| count).sum();
        writeln!(f, "violations: {total}")?;
        for (kind, (count, examples)) in &inner.violations {
            writeln!(f, "  {count:7}  {kind}")?;
            for example in examples {
                writeln!(f, "           {example}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_violations_are_shown() {
        let tally = Tally::default();
        tally.count("jobs", "accepted");
        tally.count("jobs", "accepted");
        tally.violation("a job is lost", "job 7");
        let text = tally.to_string();
        assert_eq!(text, "jobs:\n        2  accepted\nviolations: 1\n        1  a job is lost\n           job 7\n");
        assert_eq!((tally.violations(), tally.get("jobs", "accepted")), (1, 2));
    }
}
