//! Unfinished multipart uploads, noted in the job's work folder so that the next start can abort them.
//!
//! A note is written as soon as S3 has said the upload's id, and removed once the upload is complete or aborted. When
//! the worker is killed in between, the work folder outlives it with the note inside, and [`super::recover`] aborts the
//! upload. Machines whose disks do not outlive them need a rule of the bucket instead
//! (`AbortIncompleteMultipartUpload`); so does the moment between S3's answer and the note.

use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use serde::{Deserialize, Serialize};

use crate::scratch::KEEP_PREFIX;

/// A multipart upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Upload {
    /// Where it goes.
    pub(crate) bucket: String,
    /// Under which key.
    pub(crate) key: String,
    /// The id that S3 gave it.
    pub(crate) id: String,
}

/// The note of an upload.
#[derive(Debug)]
pub(super) struct Note(PathBuf);

impl Note {
    /// Notes an upload in `folder`.
    pub(super) fn write(folder: &Path, upload: &Upload) -> io::Result<Self> {
        // Work folders have one owner, so counting within this process gives each note its own name.
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let note = Self(folder.join(format!("{KEEP_PREFIX}{count}.json")));
        let text = serde_json::to_vec(upload).map_err(io::Error::other)?;
        match std::fs::write(&note.0, text) {
            Ok(()) => Ok(note),
            Err(error) => {
                // Nothing was noted: what there is of it would only keep the folder.
                let _ = std::fs::remove_file(&note.0);
                Err(error)
            }
        }
    }

    /// The upload is no more.
    pub(super) fn remove(self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "cannot remove the note of a multipart upload");
        }
    }
}

/// Reads a note. One that cannot be understood was cut off while it was written: there is nothing to learn from it.
pub(super) fn read(path: &Path) -> io::Result<Option<Upload>> {
    Ok(serde_json::from_slice(&std::fs::read(path)?).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_can_be_read_back_until_it_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let upload = Upload { bucket: "b".into(), key: "k/ü".into(), id: "id".into() };
        let note = Note::write(folder.path(), &upload).expect("writes");
        let path = note.0.clone();
        assert_eq!(read(&path).expect("reads"), Some(upload));
        note.remove();
        assert!(!path.exists());
    }

    #[test]
    fn a_note_that_was_cut_off_is_empty() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("note");
        std::fs::write(&path, r#"{"bucket":"#).expect("writes");
        assert_eq!(read(&path).expect("reads"), None);
    }
}
