//! Where the binaries under test are.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

const NAMES: [&str; 3] = ["controlplane", "worker", "s3-server"];

/// The binary of this name, from the same build profile as the running test. Built if it is not there.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = profile_folder();
        if !NAMES.iter().all(|name| folder.join(name).is_file()) {
            build(&folder);
        }
        folder
    });
    let path = folder.join(name);
    assert!(path.is_file(), "{} is missing: run `cargo build --workspace --bins` first", path.display());
    path
}

/// A folder beside the binaries for what is thrown away: on a disk, where `/tmp` may be memory.
#[must_use]
pub fn scratch_folder() -> PathBuf {
    profile_folder().join("../tmp")
}

/// A folder beside the binaries for what may be kept from one run to the next.
pub(crate) fn cache_folder() -> PathBuf {
    profile_folder().join("../tmp/e2e")
}

/// `target/<profile>`: a test runs from its `deps` folder, a program of this package from itself.
fn profile_folder() -> PathBuf {
    let program = std::env::current_exe().expect("a process knows its executable");
    let mut folders = program.ancestors().skip(1).filter(|folder| !folder.ends_with("deps"));
    folders.next().map(Path::to_owned).expect("a program lies in target/<profile> or its deps folder")
}

fn build(folder: &Path) {
    let release = folder.ends_with("release").then_some("--release");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--workspace", "--bins"])
        .args(release)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .status();
    assert!(status.is_ok_and(|status| status.success()), "`cargo build --workspace --bins` failed");
}
