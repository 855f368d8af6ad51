//! Work folders that cannot be confused and do not outlive their owner.
//!
//! A work folder holds a marker file, `.flux-lock`, on which its owner keeps an exclusive lock. The kernel lets go of
//! the lock when the owner dies, however it dies; so a marker whose lock can be taken belongs to nobody, and its
//! folder may go. Any number of workers can share a root, even under one name: a folder without a marker, or with a
//! live lock, is never touched.
//!
//! The races:
//!
//! - *create against create*: the folder is made under a random name, marked, locked, and only then renamed; a rename
//!   onto a folder that is not empty fails.
//! - *create against [`sweep`]*: a marker exists for a moment before it is locked, and the sweep may take it for a dead
//!   one. The creator notices that the lock is taken, or that the file it locked is no longer linked, and starts
//!   over. It never holds anything by then.
//! - *sweep against sweep*: the lock decides; the later one finds a file that is no longer linked.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    hash::{BuildHasher as _, RandomState},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use nix::fcntl::OFlag;
use service::key::RESERVED_PREFIX;

pub(crate) use sweep::{Dead, sweep};

mod remove;
mod root;
mod sweep;
#[cfg(test)]
mod tests;

/// Name of the marker.
const MARKER: &str = ".flux-lock";

/// Files that begin like this outlive [`Scratch::remove`], because their work is not done: see
/// [`crate::uploader::journal`].
pub(crate) const KEEP_PREFIX: &str = ".flux-upload-";

/// How often a creator starts over. Each time somebody must sweep within the same microseconds.
const TRIES: u32 = 100;

/// Why a work folder cannot be had. Each is the machine's fault, not the job's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Somebody alive works there.
    #[error("work folder {} is in use", .0.display())]
    InUse(PathBuf),
    /// Something that is not a work folder has the name.
    #[error("{} exists and is not a work folder", .0.display())]
    Foreign(PathBuf),
    /// The folder of the work folders is something else.
    #[error("{} is not a folder", .0.display())]
    RootIsFile(PathBuf),
    /// The folder of the work folders is not to be trusted.
    #[error("{} is owned by another user (uid {owner})", path.display())]
    Strangers {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// The disk is full, the folder cannot be written to, and so on.
    #[error("cannot {operation} {}: {error}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// With what.
        path: PathBuf,
        /// How it ended.
        error: io::Error,
    },
}

impl Error {
    fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| match error.kind() {
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => Self::RootIsFile(file_on_the_way(&path)),
            _ => Self::Io { operation, path, error },
        }
    }
}

/// What keeps a path from being a folder: the part of it that is something else.
fn file_on_the_way(path: &Path) -> PathBuf {
    let file = path.ancestors().find(|part| part.symlink_metadata().is_ok() && !part.is_dir());
    file.unwrap_or(path).to_owned()
}

/// A folder of one's own. It is removed with what is in it by [`Scratch::remove`], or as a last resort when dropped.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    lock: Option<File>,
}

impl Scratch {
    /// Makes the folder `<root>/<name>`, for its owner only (mode 0700), and so `root` where it is missing. A dead
    /// folder of that name makes place.
    ///
    /// # Errors
    /// When the name is taken, `root` belongs to another user, or the disk is full or cannot be written to. The message
    /// names the folder.
    pub(crate) fn create(root: &Path, name: &str) -> Result<Self, Error> {
        let scratch = Self::create_unnamed(root)?;
        scratch.rename_to(root.join(name))
    }

    /// Makes a folder with a random name.
    ///
    /// # Errors
    /// As [`Scratch::create`].
    pub(crate) fn create_unnamed(root: &Path) -> Result<Self, Error> {
        root::create(root).map_err(Error::io("create work folder", root))?;
        for _ in 0..TRIES {
            let path = root.join(random_name());
            DirBuilder::new().mode(0o700).create(&path).map_err(Error::io("create work folder", &path))?;
            if let Err(error) = root::check_owner(root, &path) {
                let _ = remove::remove(&path);
                return Err(error);
            }
            match mark(&path) {
                Ok(Some(lock)) => return Ok(Self { path, lock: Some(lock) }),
                // A sweep got it: start over with another name.
                Ok(None) => {}
                Err(error) => {
                    let _ = remove::remove(&path);
                    return Err(Error::io("write to work folder", &path)(error));
                }
            }
        }
        Err(Error::InUse(root.to_owned()))
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the folder and what is in it. What must outlive it (a multipart upload that could not be aborted) stays
    /// for the next sweep.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub(crate) async fn remove(mut self) -> io::Result<()> {
        let (path, lock) = (self.path.clone(), self.lock.take());
        tokio::task::spawn_blocking(move || {
            let removed = remove::remove(&path);
            // Only now: a folder that is half removed is not yet a sweep's business.
            lock.as_ref().map(let_go);
            removed
        })
        .await
        .map_err(io::Error::other)?
    }

    fn rename_to(mut self, path: PathBuf) -> Result<Self, Error> {
        for _ in 0..TRIES {
            match std::fs::rename(&self.path, &path) {
                Ok(()) => {
                    self.path = path;
                    return Ok(self);
                }
                Err(error) if is_taken(&error) => make_place(&path)?,
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Err(Error::Foreign(path)),
                Err(error) => return Err(Error::io("create work folder", &path)(error)),
            }
        }
        Err(Error::InUse(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let Some(lock) = self.lock.take() else { return };
        if let Err(error) = remove::remove(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove work folder");
        }
        let_go(&lock);
    }
}

/// Whether a rename met a folder that is not empty. POSIX leaves file systems two ways to say so; XFS has the second.
fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists)
}

/// Moves a dead folder out of the way. It stays dead and is swept later: it may hold journals.
fn make_place(path: &Path) -> Result<(), Error> {
    let _lock = match lock_marker(path) {
        Ok(Locked::Mine(lock)) => lock,
        Ok(Locked::Alive) => return Err(Error::InUse(path.to_owned())),
        Ok(Locked::Unmarked) => return Err(Error::Foreign(path.to_owned())),
        // It went away by itself.
        Ok(Locked::Gone) => return Ok(()),
        Err(error) => return Err(Error::io("open work folder", path)(error)),
    };
    let aside = path.with_file_name(random_name());
    std::fs::rename(path, aside).map_err(Error::io("move dead work folder", path))
}

fn random_name() -> String {
    // The standard library's seed comes from the kernel; no other source of randomness is at hand.
    format!("{RESERVED_PREFIX}{:016x}", RandomState::new().hash_one(std::process::id()))
}

/// Puts a locked marker into a new folder; `None` when a sweep was faster.
fn mark(folder: &Path) -> io::Result<Option<File>> {
    let marker = folder.join(MARKER);
    let file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&marker) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) if is_linked(&file, &marker)? => Ok(Some(file)),
        Ok(()) | Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Unlocks at once. Closing the file is not enough while another thread is about to start a program: until it runs,
/// the child holds a copy of everything that is open.
fn let_go(lock: &File) {
    if let Err(error) = lock.unlock() {
        tracing::debug!(%error, "cannot unlock a work folder");
    }
}

/// What a folder's marker tells.
enum Locked {
    /// Its owner is dead, and the lock is ours now.
    Mine(File),
    /// Its owner lives.
    Alive,
    /// There is no marker.
    Unmarked,
    /// It was removed while we looked.
    Gone,
}

fn lock_marker(folder: &Path) -> io::Result<Locked> {
    let marker = folder.join(MARKER);
    match marker.symlink_metadata() {
        Ok(there) if there.is_file() => {}
        Ok(_) => return Ok(Locked::Unmarked),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Locked::Unmarked),
        Err(error) => return Err(error),
    }
    let file = match OpenOptions::new().read(true).custom_flags(OFlag::O_NOFOLLOW.bits()).open(&marker) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Locked::Gone),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) if is_linked(&file, &marker)? => Ok(Locked::Mine(file)),
        Ok(()) => Ok(Locked::Gone),
        Err(TryLockError::WouldBlock) => Ok(Locked::Alive),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// True while `path` still names the file: between opening and locking it may have been removed, and even replaced.
fn is_linked(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match path.symlink_metadata() {
        Ok(named) => Ok((named.dev(), named.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
