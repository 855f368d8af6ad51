//! What may not be left once every server has ended.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use tokio::time::{Instant, sleep};

use super::{drive::Ended, places::Places, tally::Tally};
use crate::{Sandbox, processes, sandbox::files};

/// How long the kernel may take to end what was killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// An upload that began so shortly before its worker or the S3 server was killed may have had no time to be noted down.
const UNNOTED: Duration = Duration::from_secs(2);

/// Looks for processes, work folders, locks, staged files and uploads. `kills`: when workers and the S3 server were
/// killed.
pub async fn leftovers(sandbox: &Sandbox, places: &Places, ended: &[Ended], kills: &[SystemTime], tally: &Tally) {
    no_process(sandbox, tally).await;
    for worker in subfolders(&sandbox.work_dir()) {
        for path in files(&worker) {
            tally.violation("a work folder is left", path);
        }
    }
    let all = files(&places.local);
    for path in all.iter().filter(|path| path.contains(".flux-lock")) {
        tally.violation("a staging folder is left", path);
    }
    no_output_without_a_job(places, ended, tally);
    uploads(&places.s3, kills, tally);
}

async fn no_process(sandbox: &Sandbox, tally: &Tally) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = processes::of(sandbox.path());
        if left.is_empty() {
            return;
        }
        if Instant::now() >= deadline {
            tally.violation("a process is left", format!("{left:?}"));
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

fn subfolders(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// What did not complete has published nothing; only a cancel that came too late may have left its output.
fn no_output_without_a_job(places: &Places, ended: &[Ended], tally: &Tally) {
    for job in ended {
        let status = job.job.as_ref().and_then(|job| job["status"].as_str()).unwrap_or_default();
        let there = places.entry(&job.order).exists();
        match status {
            "JOB_STATUS_FAILED" if there => tally.violation("a failed job has an output", job.order.path()),
            "JOB_STATUS_CANCELLED" if there => tally.count("outputs", "of jobs that were cancelled late"),
            "JOB_STATUS_COMPLETED" if !there => tally.violation("the output of a completed job is gone", &job.id),
            _ => {}
        }
    }
}

/// The S3 server cannot list unfinished uploads over the wire; it keeps each as a file.
fn uploads(folder: &Path, kills: &[SystemTime], tally: &Tally) {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with(".upload-") {
            continue;
        }
        let began = entry.metadata().and_then(|facts| facts.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        let unnoted = |kill: &SystemTime| kill.duration_since(began).is_ok_and(|time| time < UNNOTED);
        if kills.iter().any(unnoted) {
            tally.count("uploads", "unfinished, killed before they could be noted");
        } else {
            tally.violation("an unfinished upload is left", name);
        }
    }
}
