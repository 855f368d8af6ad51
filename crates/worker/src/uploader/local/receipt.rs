//! What tells a later attempt that an earlier one has published whole, though nobody was left to say so.
//!
//! A receipt names the entry file, which is renamed into place last, by what stays the same in a rename: inode, size and
//! time. It is on the disk before the rename. So the output is whole if, and only if, the file at its place is the one
//! that the receipt names. The device is left out: several machines may see one storage under different numbers.

use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::Author;

/// How the files' names begin; the job's id follows.
const PREFIX: &str = "receipt-";

/// How long a receipt that nobody has asked to remove is kept. No job is retried for so long.
const MAX_AGE: Duration = Duration::from_hours(7 * 24);

/// The receipt of one job's output.
#[derive(Debug)]
pub(super) struct Receipt {
    path: PathBuf,
    attempt: u32,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Text {
    attempt: u32,
    entry: Entry,
}

/// Which file it is, and in which state.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Entry {
    fn of(file: &Metadata) -> Self {
        Self { inode: file.ino(), size: file.size(), modified: (file.mtime(), file.mtime_nsec()) }
    }
}

impl Receipt {
    /// The receipt of an attempt, below the storage's staging folder. The job's id was checked: it is a file name.
    pub(super) fn of(staging: &Path, author: &Author) -> Self {
        Self { path: staging.join(format!("{PREFIX}{}", author.job_id)), attempt: author.attempt }
    }

    /// Writes the receipt for a staged entry file; `draft` is a folder of one's own beside it.
    pub(super) fn write(&self, staged: &Path, draft: &Path) -> io::Result<()> {
        let entry = Entry::of(&fs::symlink_metadata(staged)?);
        let text = serde_json::to_vec(&Text { attempt: self.attempt, entry }).map_err(io::Error::other)?;
        let draft = draft.join("receipt");
        fs::write(&draft, text)?;
        File::open(&draft)?.sync_all()?;
        fs::rename(&draft, &self.path)?;
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        File::open(folder)?.sync_all()
    }

    /// Whether it is there and names the file at `place`.
    pub(super) fn is_for(&self, place: &Path) -> bool {
        let there = fs::symlink_metadata(place).ok().filter(Metadata::is_file);
        matches!((self.read(), there), (Some(text), Some(there)) if text.entry == Entry::of(&there))
    }

    /// Removes it, whoever wrote it.
    pub(super) fn remove(&self) {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %self.path.display(), %error, "cannot remove a receipt");
            }
            Ok(()) | Err(_) => {}
        }
    }

    /// Removes it, unless a later attempt has written it.
    pub(super) fn remove_up_to_now(&self) {
        if self.read().is_some_and(|text| text.attempt <= self.attempt) {
            self.remove();
        }
    }

    /// `None` where it is missing or was cut off while it was written.
    fn read(&self) -> Option<Text> {
        serde_json::from_slice(&fs::read(&self.path).ok()?).ok()
    }
}

/// Removes old receipts from a staging folder.
pub(super) fn sweep(staging: &Path) {
    let is_old = |entry: &fs::DirEntry| {
        let modified = entry.metadata().and_then(|file| file.modified());
        let age = modified.map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
        age.is_ok_and(|age| age > MAX_AGE)
    };
    // Missing or not readable: the sweep of work folders has said so.
    for entry in fs::read_dir(staging).into_iter().flatten().filter_map(Result::ok) {
        if entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) && is_old(&entry) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn receipt(folder: &TempDir, attempt: u32) -> Receipt {
        Receipt::of(folder.path(), &Author { job_id: "job".into(), attempt })
    }

    /// A storage with a receipt for a file that is staged.
    fn staged() -> (TempDir, TempDir, PathBuf) {
        let (folder, draft) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let staged = folder.path().join("staged");
        fs::write(&staged, "film").expect("writes");
        receipt(&folder, 1).write(&staged, draft.path()).expect("writes");
        (folder, draft, staged)
    }

    #[test]
    fn a_receipt_is_for_the_file_that_was_renamed_and_no_other() {
        let (folder, _draft, staged) = staged();
        let place = folder.path().join("place");
        assert!(!receipt(&folder, 2).is_for(&place), "not there yet");
        fs::rename(&staged, &place).expect("renames");
        assert!(receipt(&folder, 2).is_for(&place));
        fs::write(&staged, "film").expect("writes");
        fs::rename(&staged, &place).expect("renames");
        assert!(!receipt(&folder, 2).is_for(&place), "another file of the same size");
    }

    #[test]
    fn a_receipt_goes_with_its_attempt_but_not_with_an_earlier_one() {
        let (folder, draft, staged) = staged();
        receipt(&folder, 2).write(&staged, draft.path()).expect("writes");
        receipt(&folder, 1).remove_up_to_now();
        assert!(folder.path().join("receipt-job").exists());
        receipt(&folder, 2).remove_up_to_now();
        assert!(!folder.path().join("receipt-job").exists());
    }

    #[test]
    fn only_old_receipts_are_swept() {
        let (folder, _draft, staged) = staged();
        sweep(folder.path());
        let path = folder.path().join("receipt-job");
        assert!(path.exists());
        let old = SystemTime::now() - MAX_AGE - Duration::from_secs(1);
        for file in [&path, &staged] {
            File::options().write(true).open(file).and_then(|file| file.set_modified(old)).expect("changes");
        }
        sweep(folder.path());
        assert!(!path.exists() && staged.exists());
    }
}
