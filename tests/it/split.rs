//! One job over several workers: the same frames as in one piece, and the same bytes on any number of workers.
//!
//! - [`exact`] – sources of every kind, split and whole
//! - [`fleet`] – the same bytes on one worker and on several, killed or not
//! - [`ends`] – cancelled and failed jobs, what is left behind, the certificate

mod ends;
mod exact;
mod fleet;

use std::path::Path;

use e2e::{Plane, Sandbox, Worker, clips, until};
use serde_json::{Value, json};

/// A control plane that cuts sources into chunks of two seconds.
async fn plane(sandbox: &Sandbox, workers: &[&Worker]) -> Plane {
    let addresses: Vec<_> = workers.iter().map(|worker| worker.address()).collect();
    let plane =
        sandbox.plane(&addresses).env("SPLIT", "auto").env("SPLIT_CHUNK_SECONDS", "2").env("JOB_MAX_ATTEMPTS", "5");
    plane.env("MAX_QUEUED_JOBS", "100").start().await
}

/// A job that is split where that is possible.
fn job(input_url: &str, preset: &str, path: &str) -> Value {
    e2e::job(input_url, preset, "local", path)
}

/// The same job in one piece.
fn whole(input_url: &str, preset: &str, path: &str) -> Value {
    let mut job = job(input_url, preset, path);
    job["split"] = json!("off");
    job
}

/// Ten seconds with sound.
fn ten_seconds() -> std::path::PathBuf {
    clips::talking("160x90", 10)
}

/// The tasks of a kind.
fn tasks<'a>(job: &'a Value, kind: &str) -> Vec<&'a Value> {
    let tasks = job["tasks"].as_array().expect("tasks");
    tasks.iter().filter(|task| task["kind"] == kind).collect()
}

/// Waits until nothing hidden is left in the storage.
async fn nothing_hidden(sandbox: &Sandbox) {
    let parts = sandbox.output_dir().join(".flux-parts");
    until("the intermediates are removed", async || {
        std::fs::read_dir(&parts).map_or(true, |mut entries| entries.next().is_none())
    })
    .await;
}

/// What every file below a folder holds, by its path.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut contents = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(&at).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("below it").display().to_string();
                contents.push((name, std::fs::read(&path).expect("a file")));
            }
        }
    }
    contents.sort();
    contents
}
