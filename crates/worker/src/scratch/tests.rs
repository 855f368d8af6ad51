//! Owners that live, die and race.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown, symlink},
    process::{Command, Stdio},
    sync::Barrier,
    thread,
};

use nix::errno::Errno;
use tempfile::TempDir;

use super::*;

fn root() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Leaves a folder as its owner's death does.
fn die(mut scratch: Scratch) {
    scratch.lock.take().as_ref().map(let_go);
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("is there").permissions().mode() & 0o7777
}

fn names(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root).expect("a folder");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

#[tokio::test]
async fn a_folder_is_its_owners_alone_and_goes_with_it() {
    let root = root();
    // The root is missing, too.
    let root = root.path().join("a/b");
    let scratch = Scratch::create(&root, "job").expect("a work folder");
    assert_eq!(scratch.path(), root.join("job"));
    assert_eq!(mode(scratch.path()), 0o700);
    fs::create_dir(scratch.path().join("out")).expect("creates");
    fs::write(scratch.path().join("out/file"), "x").expect("writes");
    scratch.remove().await.expect("removes");
    assert_eq!(names(&root), [""; 0]);
}

#[test]
fn a_dropped_folder_goes_too() {
    let root = root();
    drop(Scratch::create(root.path(), "job").expect("a work folder"));
    assert_eq!(names(root.path()), [""; 0]);
}

#[test]
fn a_name_in_use_is_refused() {
    let root = root();
    let _alive = Scratch::create(root.path(), "job").expect("a work folder");
    let error = Scratch::create(root.path(), "job").expect_err("it is in use");
    assert_eq!(error.to_string(), format!("work folder {} is in use", root.path().join("job").display()));
    assert_eq!(names(root.path()), ["job"]);
}

#[test]
fn a_dead_folder_makes_place_for_a_new_one() {
    let root = root();
    let dead = Scratch::create(root.path(), "job").expect("a work folder");
    fs::write(dead.path().join("old"), "x").expect("writes");
    die(dead);
    let new = Scratch::create(root.path(), "job").expect("a work folder");
    assert_eq!(names(new.path()), [MARKER]);
    assert_eq!(sweep(root.path()).expect("sweeps").len(), 1);
}

#[test]
fn a_taken_name_is_known_on_every_file_system() {
    let taken = |errno: Errno| is_taken(&errno.into());
    assert!(taken(Errno::ENOTEMPTY) && taken(Errno::EEXIST));
    assert!(!taken(Errno::ENOTDIR) && !taken(Errno::ENOSPC));
}

#[test]
fn somebody_elses_folder_is_refused_and_kept() {
    let root = root();
    fs::create_dir(root.path().join("job")).expect("creates");
    fs::write(root.path().join("job/precious"), "x").expect("writes");
    let error = Scratch::create(root.path(), "job").expect_err("it is not ours");
    assert!(matches!(error, Error::Foreign(_)), "{error}");
    fs::write(root.path().join("file"), "x").expect("writes");
    let error = Scratch::create(root.path(), "file").expect_err("it is not ours");
    assert!(matches!(error, Error::Foreign(_)), "{error}");
    assert_eq!(names(&root.path().join("job")), ["precious"]);
}

#[test]
fn a_root_that_is_a_file_is_named() {
    let root = root();
    let file = root.path().join("file");
    fs::write(&file, "x").expect("writes");
    for wrong in [file.clone(), file.join("below")] {
        let error = Scratch::create(&wrong, "job").expect_err("it is a file");
        assert_eq!(error.to_string(), format!("{} is not a folder", file.display()));
    }
}

#[test]
fn a_root_that_cannot_be_written_is_named() {
    // Nobody, root included, makes folders there.
    let error = Scratch::create(Path::new("/proc/self"), "job").expect_err("it cannot be written");
    assert!(error.to_string().starts_with("cannot create work folder /proc/self/"), "{error}");
}

#[test]
fn a_new_root_is_its_owners_alone_but_not_what_is_above() {
    let root = root();
    // As this process makes folders.
    let usual = root.path().join("usual");
    fs::create_dir(&usual).expect("creates");
    let storage = root.path().join("storage");
    drop(Scratch::create_unnamed(&storage.join("staging")).expect("a work folder"));
    assert_eq!((mode(&storage.join("staging")), mode(&storage)), (0o700, mode(&usual)));
}

#[test]
fn a_root_that_all_may_write_to_is_used_as_it_is() {
    let root = root();
    for wanted in [0o777, 0o1777] {
        fs::set_permissions(root.path(), fs::Permissions::from_mode(wanted)).expect("changes");
        drop(Scratch::create(root.path(), "job").expect("a work folder"));
        assert_eq!(mode(root.path()), wanted);
    }
}

#[test]
fn another_users_root_is_refused_and_kept_clean() {
    let root = root();
    // Only root can give a folder away; for others the test of `root::stranger` stands alone.
    if chown(root.path(), Some(12345), None).is_err() {
        return;
    }
    let error = Scratch::create(root.path(), "job").expect_err("it is not ours");
    assert_eq!(error.to_string(), format!("{} is owned by another user (uid 12345)", root.path().display()));
    assert_eq!(names(root.path()), [""; 0]);
}

#[test]
fn a_sweep_takes_the_dead_and_leaves_the_living_and_the_foreign() {
    let root = root();
    let _alive = Scratch::create(root.path(), "alive").expect("a work folder");
    die(Scratch::create(root.path(), "dead").expect("a work folder"));
    fs::create_dir(root.path().join("foreign")).expect("creates");
    fs::write(root.path().join("file"), "x").expect("writes");
    let dead = sweep(root.path()).expect("sweeps");
    assert_eq!(dead.iter().map(Dead::path).collect::<Vec<_>>(), [root.path().join("dead")]);
    assert!(sweep(root.path()).expect("sweeps").is_empty(), "the first sweep holds it");
    for folder in dead {
        folder.remove().expect("removes");
    }
    let mut left = names(root.path());
    left.sort();
    assert_eq!(left, ["alive", "file", "foreign"]);
}

#[test]
fn a_sweep_of_nothing_finds_nothing() {
    assert!(sweep(&root().path().join("missing")).expect("sweeps").is_empty());
}

#[test]
fn links_are_not_followed() {
    let (root, outside) = (root(), root());
    fs::write(outside.path().join("precious"), "x").expect("writes");
    let dead = Scratch::create(root.path(), "dead").expect("a work folder");
    symlink(outside.path(), dead.path().join("link")).expect("links");
    die(dead);
    // A link to a dead folder, and a folder whose marker is a link.
    symlink(root.path().join("dead"), root.path().join("alias")).expect("links");
    fs::create_dir(root.path().join("fake")).expect("creates");
    symlink(root.path().join("dead").join(MARKER), root.path().join("fake").join(MARKER)).expect("links");
    let dead = sweep(root.path()).expect("sweeps");
    assert_eq!(dead.len(), 1);
    dead.into_iter().try_for_each(Dead::remove).expect("removes");
    assert!(outside.path().join("precious").exists() && root.path().join("fake").exists());
}

#[tokio::test]
async fn what_must_outlive_the_owner_stays_for_the_sweep() {
    let root = root();
    let scratch = Scratch::create(root.path(), "job").expect("a work folder");
    let note = scratch.path().join(format!("{KEEP_PREFIX}0.json"));
    fs::write(&note, "x").expect("writes");
    fs::write(scratch.path().join("large"), "x").expect("writes");
    scratch.remove().await.expect("removes");
    let dead = sweep(root.path()).expect("sweeps").pop().expect("the folder is still there");
    assert_eq!(dead.kept().expect("reads"), [note]);
    assert!(!dead.path().join("large").exists());
}

#[test]
fn a_killed_process_lets_go() {
    let root = root();
    let path = root.path().join("job");
    fs::create_dir(&path).expect("creates");
    let script = format!("exec 9>'{}'; flock 9; echo ready; exec sleep 1000", path.join(MARKER).display());
    let mut owner =
        Command::new("sh").args(["-c", &script]).stdout(Stdio::piped()).spawn().expect("sh and flock are there");
    let mut ready = String::new();
    let stdout = owner.stdout.take().expect("a pipe");
    io::BufRead::read_line(&mut io::BufReader::new(stdout), &mut ready).expect("reads");
    assert!(sweep(root.path()).expect("sweeps").is_empty(), "it lives");
    owner.kill().expect("kills");
    owner.wait().expect("ends");
    assert_eq!(sweep(root.path()).expect("sweeps").len(), 1);
}

#[test]
fn creators_and_sweepers_never_take_from_each_other() {
    let root = root();
    let start = Barrier::new(4);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                start.wait();
                for _ in 0..200 {
                    for folder in sweep(root.path()).expect("sweeps") {
                        folder.remove().expect("removes");
                    }
                }
            });
        }
        for name in ["a", "b"] {
            let (root, start) = (root.path(), &start);
            scope.spawn(move || {
                start.wait();
                for _ in 0..200 {
                    let scratch = Scratch::create(root, name).expect("a work folder");
                    fs::write(scratch.path().join("file"), "x").expect("still there");
                }
            });
        }
    });
}
