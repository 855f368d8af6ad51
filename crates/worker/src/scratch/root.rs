//! The folder that work folders are made in.

use std::{
    fs::DirBuilder,
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::Path,
};

use super::Error;

/// The user that no other one can defend against.
const SUPERUSER: u32 = 0;

/// Makes `root` for its owner only (mode 0700) where it is missing, and the folders above it as the umask says: above a
/// staging folder is the storage, which others read.
pub(super) fn create(root: &Path) -> io::Result<()> {
    if let Some(parent) = root.parent() {
        std::fs::create_dir_all(parent)?;
    }
    DirBuilder::new().recursive(true).mode(0o700).create(root)
}

/// Refuses a root of another user, who could swap or link what is in it whenever they like. In `/tmp` anybody can make
/// such a folder before the first worker starts.
///
/// `made` is a folder that this process has just made in `root`. Its owner is who we are as this file system sees it,
/// which on a network or in a user namespace need not be who we are elsewhere. Roots that are root's, or that all may
/// write to, pass: container volumes are often like that.
pub(super) fn check_owner(root: &Path, made: &Path) -> Result<(), Error> {
    let look = || {
        let ours = made.symlink_metadata()?.uid();
        // A link's own owner can turn it elsewhere.
        let owners = [root.symlink_metadata()?.uid(), root.metadata()?.uid()];
        Ok(stranger(owners, ours))
    };
    match look().map_err(Error::io("look at work folder", root))? {
        Some(owner) => Err(Error::Strangers { path: root.to_owned(), owner }),
        None => Ok(()),
    }
}

/// The first owner that is not to be trusted.
fn stranger(owners: impl IntoIterator<Item = u32>, ours: u32) -> Option<u32> {
    owners.into_iter().find(|owner| ![ours, SUPERUSER].contains(owner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_worker_itself_and_root_are_trusted() {
        assert_eq!(stranger([10001, 10001], 10001), None);
        assert_eq!(stranger([0, 10001], 10001), None);
        assert_eq!(stranger([10001, 1000], 10001), Some(1000));
        assert_eq!(stranger([1000, 0], 10001), Some(1000), "a link of somebody else's");
        assert_eq!(stranger([1000, 1000], 0), Some(1000), "root has most to lose");
    }
}
