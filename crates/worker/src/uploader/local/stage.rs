//! Brings a file onto the storage's file system, as cheaply as that can be.

use std::{
    fs::{self, File, Permissions},
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use super::Error;
use crate::permit::Permit;

/// How much is copied between two looks at the permit.
const CHUNK: u64 = 64 * 1024 * 1024;

/// Makes `staged` a copy of `source`, readable for all (mode 0644) and safe on the disk. On one file system it is a
/// second name of the same file, which costs nothing: nobody writes to a finished output any more.
pub(super) fn stage(source: &Path, staged: &Path, permit: &Permit) -> Result<(), Error> {
    check(permit)?;
    // A link would be published as a link.
    if !fs::symlink_metadata(source).map_err(Error::io("read", source))?.is_file() {
        return Err(Error::io("publish", source)(io::Error::other("not a regular file")));
    }
    // File systems refuse links in many ways; whatever stands behind it, the copy will tell.
    if fs::hard_link(source, staged).is_err() {
        copy(source, staged, permit)?;
    }
    fs::set_permissions(staged, Permissions::from_mode(0o644)).map_err(Error::io("set permissions of", staged))?;
    File::open(staged).and_then(|file| file.sync_all()).map_err(Error::io("sync", staged))
}

fn copy(source: &Path, staged: &Path, permit: &Permit) -> Result<(), Error> {
    let from = File::open(source).map_err(Error::io("read", source))?;
    let mut to = File::create(staged).map_err(Error::io("write", staged))?;
    loop {
        check(permit)?;
        // The kernel copies, without the bytes coming through here.
        if io::copy(&mut (&from).take(CHUNK), &mut to).map_err(Error::io("write", staged))? == 0 {
            return Ok(());
        }
    }
}

fn check(permit: &Permit) -> Result<(), Error> {
    if permit.is_over() { Err(Error::Cancelled) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_complete_and_can_be_cancelled() {
        let folder = tempfile::tempdir().expect("a folder");
        let (source, staged) = (folder.path().join("source"), folder.path().join("staged"));
        let file = File::create(&source).expect("creates");
        // Longer than one chunk, without filling the disk.
        file.set_len(CHUNK + 5).expect("grows");
        let permit = Permit::unleased();
        copy(&source, &staged, &permit).expect("copies");
        assert_eq!(fs::metadata(&staged).expect("is there").len(), CHUNK + 5);
        permit.token().cancel();
        assert!(matches!(copy(&source, &staged, &permit), Err(Error::Cancelled)));
    }
}
