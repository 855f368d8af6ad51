//! Watches what runs and what is published, while it happens.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    hash::{DefaultHasher, Hasher as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{task::spawn_blocking, time::sleep};

use super::{fleet::Fleet, tally::Tally};

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// How long after a pause its worker may not have noticed yet that its lease is over.
const AFTER_PAUSE: Duration = Duration::from_secs(15);

/// An ffmpeg that works on a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoder {
    /// Its number.
    pub pid: i32,
    /// Name of its worker's folder.
    pub worker: String,
    /// Id of the job.
    pub job: String,
}

/// The encoders that work below `work`: their working folder tells for whom and on what.
#[must_use]
pub fn encoders(work: &Path) -> Vec<Encoder> {
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| encoder(pid, work)).collect()
}

fn encoder(pid: i32, work: &Path) -> Option<Encoder> {
    let process = Path::new("/proc").join(pid.to_string());
    let folder = fs::read_link(process.join("cwd")).ok()?;
    let mut parts = folder.strip_prefix(work).ok()?.components().map(|part| part.as_os_str().to_string_lossy());
    let (worker, job) = (parts.next()?.into_owned(), parts.next()?.into_owned());
    let program = fs::read_link(process.join("exe")).ok()?;
    program.ends_with("ffmpeg").then_some(Encoder { pid, worker, job })
}

/// A file as it was last seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sight {
    identity: (u64, i64, i64, u64),
    hash: u64,
}

/// Watches jobs.
#[derive(Debug)]
pub struct Watch {
    work: PathBuf,
    tally: Arc<Tally>,
    /// Entry files of the jobs that may still publish.
    files: Mutex<BTreeMap<PathBuf, Option<Sight>>>,
}

impl Watch {
    /// Watches encoders below `work`.
    #[must_use]
    pub fn new(work: PathBuf, tally: Arc<Tally>) -> Arc<Self> {
        Arc::new(Self { work, tally, files: Mutex::default() })
    }

    /// Watches this file from now on.
    pub fn add(&self, entry: PathBuf) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).entry(entry).or_default();
    }

    /// Looks again and again. Never ends.
    pub async fn run(self: Arc<Self>, fleet: Arc<Fleet>) {
        let mut before = BTreeSet::new();
        loop {
            let (watch, work) = (Arc::clone(&self), self.work.clone());
            let looked = spawn_blocking(move || {
                watch.look_at_files();
                encoders(&work)
            });
            let both = overlaps(&looked.await.unwrap_or_default());
            for (job, workers) in both.intersection(&before) {
                if !workers.iter().any(|worker| was_paused(&fleet, worker)) {
                    self.tally.violation("two workers encode one job", format!("{job}: {workers:?}"));
                }
            }
            before = both;
            sleep(LOOK).await;
        }
    }

    /// Looks at every file once.
    pub fn look_at_files(&self) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        for (path, seen) in files.iter_mut() {
            let Some(sight) = look(path, *seen) else { continue };
            if let Some(before) = seen.filter(|before| *before != sight) {
                if before.hash == sight.hash {
                    self.tally.count("outputs", "published again, the same bytes");
                } else {
                    self.tally.violation("an output is published twice with differing bytes", path.display());
                }
            }
            *seen = Some(sight);
        }
    }
}

/// The file now; `None` where there is none. It is read only when it is another than before.
fn look(path: &Path, before: Option<Sight>) -> Option<Sight> {
    let facts = fs::metadata(path).ok()?;
    let identity = (facts.ino(), facts.mtime(), facts.mtime_nsec(), facts.len());
    if let Some(before) = before.filter(|before| before.identity == identity) {
        return Some(before);
    }
    let mut hasher = DefaultHasher::new();
    hasher.write(&fs::read(path).ok()?);
    Some(Sight { identity, hash: hasher.finish() })
}

/// Jobs that several workers encode, with those workers.
fn overlaps(encoders: &[Encoder]) -> BTreeSet<(String, Vec<String>)> {
    let mut jobs: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for encoder in encoders {
        jobs.entry(&encoder.job).or_default().insert(&encoder.worker);
    }
    let several = jobs.into_iter().filter(|(_, workers)| workers.len() > 1);
    several.map(|(job, workers)| (job.to_owned(), workers.into_iter().map(str::to_owned).collect())).collect()
}

/// A paused worker cannot stop its encoder; it stops it as soon as it goes on.
fn was_paused(fleet: &Fleet, worker: &str) -> bool {
    let number = worker.strip_prefix('w').and_then(|number| number.parse::<usize>().ok());
    let node = number.and_then(|number| fleet.workers.get(number));
    let paused = node.and_then(|node| node.server.last_pause());
    paused.is_some_and(|at| Instant::now().duration_since(at) < AFTER_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps_are_found() {
        let encoder = |worker: &str, job: &str| Encoder { pid: 1, worker: worker.to_owned(), job: job.to_owned() };
        let encoders = [encoder("w0", "a"), encoder("w0", "a"), encoder("w1", "b"), encoder("w2", "b")];
        let expected = [("b".to_owned(), vec!["w1".to_owned(), "w2".to_owned()])];
        assert_eq!(overlaps(&encoders), BTreeSet::from(expected));
    }

    #[test]
    fn a_file_that_is_replaced_by_another_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, tally) = (folder.path().join("entry"), Arc::new(Tally::default()));
        let watch = Watch::new(folder.path().to_owned(), Arc::clone(&tally));
        watch.add(path.clone());
        for (content, violations) in [("one", 0), ("one", 0), ("another", 1)] {
            let draft = folder.path().join("draft");
            fs::write(&draft, content).expect("a file");
            fs::rename(&draft, &path).expect("the same folder");
            watch.look_at_files();
            assert_eq!(tally.violations(), violations, "{content}");
        }
        assert_eq!(tally.get("outputs", "published again, the same bytes"), 1);
    }
}
