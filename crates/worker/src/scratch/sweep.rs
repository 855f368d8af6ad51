//! Finds work folders whose owner is dead.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use super::{KEEP_PREFIX, Locked, let_go, lock_marker, remove};

/// A work folder whose owner is dead. Nobody else takes it while this value lives.
#[derive(Debug)]
pub(crate) struct Dead {
    path: PathBuf,
    lock: File,
}

impl Dead {
    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The files whose work is not done; while one is there, [`Dead::remove`] leaves it and the folder.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(crate) fn kept(&self) -> io::Result<Vec<PathBuf>> {
        let mut kept = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().starts_with(KEEP_PREFIX.as_bytes()) {
                kept.push(entry.path());
            }
        }
        Ok(kept)
    }

    /// Removes the folder and what is in it.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub(crate) fn remove(self) -> io::Result<()> {
        remove::remove(&self.path)
    }
}

impl Drop for Dead {
    fn drop(&mut self) {
        let_go(&self.lock);
    }
}

/// Takes every dead work folder directly below `root`. Folders without a marker, or with a living owner, are left
/// alone, and so is what cannot be opened.
///
/// # Errors
/// When `root` exists and cannot be read.
pub(crate) fn sweep(root: &Path) -> io::Result<Vec<Dead>> {
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut dead = Vec::new();
    for entry in entries {
        let entry = entry?;
        // The entry's own type: a link to a folder is not a folder.
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let path = entry.path();
        match lock_marker(&path) {
            Ok(Locked::Mine(lock)) => dead.push(Dead { path, lock }),
            Ok(Locked::Alive | Locked::Unmarked | Locked::Gone) => {}
            Err(error) => tracing::warn!(path = %path.display(), %error, "cannot look at work folder"),
        }
    }
    Ok(dead)
}
