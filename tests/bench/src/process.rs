//! What the kernel says of a process.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};
use nix::{
    sys::resource::{Resource, getrlimit, setrlimit},
    unistd::{Pid, SysconfVar, sysconf},
};

use crate::measure::real;

/// Lets this process have as many open files as it may.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn raise_open_files() -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("cannot raise the limit on open files")
}

/// How many files this process may have open.
pub(crate) fn open_files_limit() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft)
}

/// Resident memory, in bytes.
pub(crate) fn memory(pid: Pid) -> Result<f64> {
    Ok(status(pid, "VmRSS:")? * 1024.0)
}

/// The names of its threads.
pub(crate) fn threads(pid: Pid) -> Result<Vec<String>> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("process {pid}"))?;
    // One that ends meanwhile is none.
    let names = entries.filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("comm")).ok());
    Ok(names.map(|name| name.trim_end().to_owned()).collect())
}

/// The kinds of files that it has open: paths, and what is none without its number.
pub(crate) fn files(pid: Pid) -> Result<Vec<String>> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).with_context(|| format!("process {pid}"))?;
    // One that is closed meanwhile is none.
    let names = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    Ok(names.map(|name| name.display().to_string().split(":[").next().unwrap_or_default().to_owned()).collect())
}

/// Processor time that it has used so far.
pub(crate) fn processor_time(pid: Pid) -> Result<Duration> {
    ticks(pid, 2)
}

/// The same, with that of all children that have ended.
pub(crate) fn family_time(pid: Pid) -> Result<Duration> {
    ticks(pid, 4)
}

/// The sum of the first so many of `utime`, `stime`, `cutime` and `cstime`, as `proc_pid_stat(5)` calls them.
fn ticks(pid: Pid, fields: usize) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid}"))?;
    // The name before it may hold anything.
    let (_, rest) = stat.rsplit_once(')').context("a stat line")?;
    let ticks = rest.split_ascii_whitespace().skip(11).take(fields).filter_map(|field| field.parse::<u64>().ok());
    let rate = sysconf(SysconfVar::CLK_TCK)?.and_then(|rate| u64::try_from(rate).ok()).context("ticks a second")?;
    Ok(Duration::from_secs_f64(real(ticks.sum()) / real(rate)))
}

fn status(pid: Pid, name: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("process {pid}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).context("a field of status")?;
    let number = line.split_ascii_whitespace().next().context("a number")?;
    Ok(number.parse()?)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn children_that_have_ended_count() {
        let of_children =
            || family_time(Pid::this()).expect("a number").saturating_sub(ticks(Pid::this(), 2).expect("a number"));
        let before = of_children();
        let busy = ["-c", "i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done"];
        Command::new("sh").args(busy).status().expect("there is a shell");
        assert!(of_children() > before + Duration::from_millis(50), "{before:?}");
    }

    #[test]
    fn this_process_uses_the_machine() {
        let this = Pid::this();
        assert!(memory(this).expect("a number") > 1e5);
        assert!(!threads(this).expect("names").is_empty());
        assert!(files(this).expect("names").len() >= 3);
        assert!(processor_time(this).expect("a number") < Duration::from_hours(1));
    }
}
