//! Renames staged files into place, and takes it back when that fails half way.

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, File, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Component, Path, PathBuf},
};

use super::{Error, MARGIN, Receipt, Staged};
use crate::permit::Permit;

/// What was there before a file was put into place.
#[derive(Debug)]
enum Before {
    /// Nothing.
    Nothing,
    /// A file that has a second name here, by which it can be put back.
    Saved(PathBuf),
    /// A file on a file system without links. It is lost, and what replaced it stays.
    Lost,
}

/// Which file it is, whatever its name: device and inode.
type Identity = (u64, u64);

/// A file that is in place.
#[derive(Debug)]
struct Placed {
    target: PathBuf,
    identity: Identity,
    before: Before,
}

/// The files of one publication that are in place.
#[derive(Debug)]
pub(super) struct Placement<'a> {
    root: &'a Path,
    staging: &'a Path,
    permit: &'a Permit,
    placed: Vec<Placed>,
    created: Vec<PathBuf>,
    unsynced: BTreeSet<PathBuf>,
}

impl<'a> Placement<'a> {
    /// Nothing is in place yet. What is replaced is saved in `staging`.
    pub(super) fn new(root: &'a Path, staging: &'a Path, permit: &'a Permit) -> Self {
        Self { root, staging, permit, placed: Vec::new(), created: Vec::new(), unsynced: BTreeSet::new() }
    }

    /// Puts all files into place, or none: on a failure new files are removed and replaced ones put back.
    /// The `receipt` is written before the entry file, the last of the last group, is there.
    pub(super) fn place_all(mut self, groups: &[Vec<Staged>], receipt: Option<&Receipt>) -> Result<(), Error> {
        let Some((last, before)) = groups.split_last() else { return Ok(()) };
        let placed = before.iter().try_for_each(|group| self.place_group(group)).and_then(|()| {
            if let (Some(receipt), Some((entry, _))) = (receipt, last.last()) {
                self.may_publish()?;
                receipt.write(entry, self.staging).map_err(Error::io("write a receipt for", entry))?;
            }
            self.place_group(last)
        });
        if placed.is_err() {
            self.undo(receipt);
        }
        placed
    }

    /// A group is on the disk before the next one begins: after a power cut no playlist names a lost segment.
    fn place_group(&mut self, group: &[Staged]) -> Result<(), Error> {
        for (staged, path) in group {
            self.place(staged, path)?;
        }
        for folder in std::mem::take(&mut self.unsynced) {
            File::open(&folder).and_then(|folder| folder.sync_all()).map_err(Error::io("sync", &folder))?;
        }
        Ok(())
    }

    fn place(&mut self, staged: &Path, path: &Path) -> Result<(), Error> {
        let folder = self.folder(path.parent().unwrap_or(Path::new("")))?;
        let target = folder.join(path.file_name().unwrap_or_default());
        let identity = identity(staged).map_err(Error::io("look at", staged))?;
        let before = self.save(&target)?;
        self.may_publish()?;
        fs::rename(staged, &target).map_err(Error::io("write", &target))?;
        self.placed.push(Placed { target, identity, before });
        self.unsynced.insert(folder);
        Ok(())
    }

    /// Asked directly before each step that others can see.
    fn may_publish(&self) -> Result<(), Error> {
        if self.permit.has_lapsed() { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Gives a file that is about to be replaced a second name.
    fn save(&self, target: &Path) -> Result<Before, Error> {
        match fs::symlink_metadata(target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Before::Nothing),
            Err(error) => return Err(Error::io("look at", target)(error)),
            Ok(there) if there.is_dir() => return Err(is_folder(target.to_owned())),
            Ok(_) => {}
        }
        let saved = self.staging.join(format!("before-{}", self.placed.len()));
        Ok(fs::hard_link(target, &saved).map_or(Before::Lost, |()| Before::Saved(saved)))
    }

    /// The folder `relative` below the root, made where it is missing.
    fn folder(&mut self, relative: &Path) -> Result<PathBuf, Error> {
        let mut folder = self.root.to_owned();
        for component in relative.components() {
            // The path was checked long before; this is the last line of defence.
            let Component::Normal(name) = component else {
                return Err(is_no_folder(folder.join(component)));
            };
            let parent = folder.clone();
            folder.push(name);
            if !is_open(self.root, &folder)? {
                self.create_folder(&folder, parent)?;
            }
        }
        Ok(folder)
    }

    fn create_folder(&mut self, folder: &Path, parent: PathBuf) -> Result<(), Error> {
        match DirBuilder::new().mode(0o755).create(folder) {
            // Another job made it in the meantime.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            created => created.map_err(Error::io("create", folder))?,
        }
        self.created.push(folder.to_owned());
        self.unsynced.insert(parent);
        // Whatever the umask is: a player's web server must be able to read it.
        fs::set_permissions(folder, Permissions::from_mode(0o755)).map_err(Error::io("set permissions of", folder))
    }

    /// Takes back what is in place, the last first, so that a master goes before what it names. Once another attempt may
    /// have published in its place, the rest stays.
    fn undo(&mut self, receipt: Option<&Receipt>) {
        let too_late = || self.permit.time_to_take_back(MARGIN).is_zero();
        if let Some(receipt) = receipt.filter(|_| !too_late()) {
            receipt.remove();
        }
        for placed in self.placed.drain(..).rev() {
            if too_late() {
                tracing::warn!(path = %placed.target.display(), "too late to take back a published file");
                return;
            }
            if let Err(error) = placed.undo() {
                tracing::warn!(path = %placed.target.display(), %error, "cannot take back a published file");
            }
        }
        for folder in self.created.drain(..).rev() {
            // Not empty means that another job uses it by now.
            let _ = fs::remove_dir(folder);
        }
    }
}

impl Placed {
    /// Puts back what was there before, unless another job has replaced or removed the file meanwhile. No file system
    /// does both in one step, so what is published between the look and the deed is still lost.
    fn undo(&self) -> io::Result<()> {
        match identity(&self.target) {
            Ok(there) if there == self.identity => {}
            Ok(_) => {
                tracing::info!(path = %self.target.display(), "another job's file is in place; it stays");
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
        match &self.before {
            Before::Nothing => fs::remove_file(&self.target),
            Before::Saved(saved) => fs::rename(saved, &self.target),
            Before::Lost => Ok(()),
        }
    }
}

/// Whether everything on the way to the folder `relative` below `root` is a folder, as far as it is there.
pub(super) fn check_way(root: &Path, relative: &Path) -> Result<(), Error> {
    let mut folder = root.to_owned();
    for component in relative.components() {
        folder.push(component);
        // What a link leads to may still be made.
        let is_missing = fs::metadata(&folder).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        if is_missing || !is_open(root, &folder)? {
            break;
        }
    }
    Ok(())
}

/// Whether there is a folder to go on from, or a link to one inside the storage; not where there is nothing yet.
fn is_open(root: &Path, folder: &Path) -> Result<bool, Error> {
    match fs::symlink_metadata(folder) {
        Ok(there) if there.is_dir() => Ok(true),
        Ok(there) if there.is_symlink() => check_link(root, folder).map(|()| true),
        Ok(_) => Err(is_no_folder(folder.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("look at", folder)(error)),
    }
}

fn check_link(root: &Path, link: &Path) -> Result<(), Error> {
    let root = fs::canonicalize(root).map_err(Error::io("look at", root))?;
    match fs::canonicalize(link) {
        Ok(target) if !target.starts_with(root) => {
            Err(Error::Occupied { path: link.to_owned(), problem: "is a symbolic link that leads out of the storage" })
        }
        Ok(target) if target.is_dir() => Ok(()),
        Ok(_) | Err(_) => Err(is_no_folder(link.to_owned())),
    }
}

fn identity(path: &Path) -> io::Result<Identity> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

pub(super) fn is_folder(path: PathBuf) -> Error {
    Error::Occupied { path, problem: "is a folder, not a file" }
}

fn is_no_folder(path: PathBuf) -> Error {
    Error::Occupied { path, problem: "is not a folder" }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// A storage whose `new` and `old` have been published to, `old` over an older file.
    fn placed<'a>(root: &'a TempDir, staging: &'a TempDir, permit: &'a Permit) -> Placement<'a> {
        fs::write(root.path().join("old"), "before").expect("writes");
        let stage = |name: &str| {
            let staged = staging.path().join(name);
            fs::write(&staged, "ours").expect("writes");
            (staged, PathBuf::from(name))
        };
        let mut placement = Placement::new(root.path(), staging.path(), permit);
        placement.place_group(&["new", "old"].map(stage)).expect("places");
        placement
    }

    fn folders() -> (TempDir, TempDir) {
        (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"))
    }

    #[test]
    fn what_is_still_ours_is_taken_back() {
        let (root, staging) = folders();
        let permit = Permit::unleased();
        placed(&root, &staging, &permit).undo(None);
        assert!(!root.path().join("new").exists());
        assert_eq!(fs::read_to_string(root.path().join("old")).expect("reads"), "before");
    }

    #[test]
    fn what_another_job_published_meanwhile_stays() {
        let (root, staging) = folders();
        let permit = Permit::unleased();
        let mut placement = placed(&root, &staging, &permit);
        for name in ["new", "old"] {
            let theirs = staging.path().join("theirs");
            fs::write(&theirs, "theirs").expect("writes");
            fs::rename(theirs, root.path().join(name)).expect("publishes");
        }
        placement.undo(None);
        for name in ["new", "old"] {
            assert_eq!(fs::read_to_string(root.path().join(name)).expect("reads"), "theirs", "{name}");
        }
    }

    #[test]
    fn what_another_job_took_away_does_not_come_back() {
        let (root, staging) = folders();
        let permit = Permit::unleased();
        let mut placement = placed(&root, &staging, &permit);
        fs::remove_file(root.path().join("old")).expect("removes");
        placement.undo(None);
        assert_eq!(fs::read_dir(root.path()).expect("a folder").count(), 0);
    }
}
