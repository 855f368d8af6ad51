//! Split jobs: what is finished stays finished, the bytes are the same whatever was struck, and nothing hidden is left.

use std::{
    collections::BTreeMap,
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{
    load::{Order, Source},
    places::Places,
    tally::Tally,
};
use crate::{s3::BUCKET, sandbox::files};

/// Where intermediates are, below a storage.
const HIDDEN: &str = ".flux-parts";

/// How long their removal may take once nothing is struck any more.
const REMOVAL: Duration = Duration::from_mins(2);

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(200);

/// The tasks of a split job, empty for a whole one.
pub fn tasks(job: &Value) -> impl Iterator<Item = &Value> {
    let tasks = job["tasks"].as_array().into_iter().flatten();
    tasks.filter(|task| task["kind"] != "whole")
}

/// The tasks of one job that were seen to be done, with the attempt that did each.
#[derive(Debug, Default)]
pub struct Done(BTreeMap<(String, u64), Value>);

impl Done {
    /// Looks at the job, and tells what is done again.
    pub fn look(&mut self, job: &Value) -> Vec<String> {
        let mut again = Vec::new();
        for task in tasks(job) {
            let name =
                (task["kind"].as_str().unwrap_or_default().to_owned(), task["index"].as_u64().unwrap_or_default());
            match self.0.get(&name) {
                Some(attempt) if *attempt != task["attempt"] || task["status"] != "JOB_STATUS_COMPLETED" => {
                    again.push(format!("{name:?}, done by attempt {attempt}: {task}"));
                }
                None if task["status"] == "JOB_STATUS_COMPLETED" => {
                    self.0.insert(name, task["attempt"].clone());
                }
                Some(_) | None => {}
            }
        }
        again
    }
}

/// What split jobs have made of each source so far.
#[derive(Debug, Default)]
pub struct Bytes(Mutex<BTreeMap<(Source, &'static str), u64>>);

impl Bytes {
    /// Tells when a split job made other bytes than one before it. `entry` is the file that players are given.
    pub fn compare(&self, order: &Order, job: &Value, entry: &Path) -> Option<String> {
        tasks(job).next()?;
        let root = if entry.extension().is_some_and(|kind| kind == "m3u8") { entry.parent()? } else { entry };
        let digest = digest(root);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = *known.entry((order.source, order.preset)).or_insert(digest);
        (first != digest).then(|| format!("{}: {:?} by {}", order.key(), order.source, order.preset))
    }
}

fn digest(root: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    if root.is_file() {
        fs::read(root).unwrap_or_default().hash(&mut hasher);
    } else {
        let mut names = files(root);
        names.sort();
        for name in names {
            name.hash(&mut hasher);
            fs::read(root.join(&name)).unwrap_or_default().hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// Waits until the workers have removed every intermediate.
pub async fn removed(places: &Places, tally: &Tally) {
    let deadline = Instant::now() + REMOVAL;
    let hidden = [places.local.join(HIDDEN), places.s3.join(BUCKET).join(HIDDEN)];
    loop {
        let [local, s3] = hidden.each_ref().map(|folder| files(folder));
        // The server keeps the folders of objects that are gone; a client does not see them.
        let objects = s3.into_iter().filter(|path| hidden[1].join(path).is_file());
        let left: Vec<_> = local.into_iter().chain(objects).collect();
        if left.is_empty() {
            return;
        }
        if Instant::now() >= deadline {
            for path in left {
                tally.violation("an intermediate is left", path);
            }
            return;
        }
        sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_done_stays_done() {
        let job = |attempt: u64, status: &str| json!({"tasks": [{"kind": "chunk", "index": 1, "attempt": attempt, "status": format!("JOB_STATUS_{status}")}]});
        let mut done = Done::default();
        for (attempt, status) in [(1, "PROCESSING"), (2, "PROCESSING"), (2, "COMPLETED"), (2, "COMPLETED")] {
            assert_eq!(done.look(&job(attempt, status)), [""; 0]);
        }
        assert_eq!(done.look(&job(3, "PROCESSING")).len(), 1);
        assert_eq!(done.look(&json!({"tasks": [{"kind": "whole"}]})), [""; 0]);
    }

    #[test]
    fn other_bytes_are_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let (order, bytes) = (Order::new(1, 1), Bytes::default());
        let job = json!({"tasks": [{"kind": "chunk"}]});
        let file = folder.path().join("a.mp4");
        for (contents, known) in [("a", true), ("a", true), ("b", false)] {
            fs::write(&file, contents).expect("a file");
            assert_eq!(bytes.compare(&order, &job, &file).is_none(), known);
        }
        assert_eq!(bytes.compare(&order, &json!({}), &file), None, "a whole job");
    }
}
