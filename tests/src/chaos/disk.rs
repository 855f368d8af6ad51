//! Disks of the workers that can be filled.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

/// Room for the outputs of two jobs that are being made, twice over.
const SIZE: &str = "size=160m";

/// A file system of its own; unmounted when dropped.
#[derive(Debug)]
pub struct Disk(PathBuf);

impl Disk {
    /// Mounts one on `folder`; `None` where this process may not.
    #[must_use]
    pub fn mount(folder: &Path) -> Option<Self> {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(folder).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(folder.to_owned()))
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Takes all the room there is.
    pub fn fill(&self) {
        let Ok(mut ballast) = File::create(self.ballast()) else { return };
        let block = vec![0; 1 << 20];
        // Until there is no room left, which is an error.
        while ballast.write_all(&block).is_ok() {}
    }

    /// Gives the room back.
    pub fn free(&self) {
        // Not there where it could not be made.
        let _ = fs::remove_file(self.ballast());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: something may still be open there.
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}
