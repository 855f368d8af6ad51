//! On a real disk.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::*;
use crate::{
    clock::tests::Hands,
    failure::Blame,
    lease::{self, Lease},
    uploader::Storage,
};

struct Case {
    root: TempDir,
    work: TempDir,
    permit: Permit,
}

impl Case {
    fn new() -> Self {
        let folder = || tempfile::tempdir().expect("a folder");
        Self { root: folder(), work: folder(), permit: Permit::unleased() }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.work.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("creates");
        fs::write(&path, text).expect("writes");
        path
    }

    fn ladder(&self) -> Artifact {
        let files = ["master.m3u8", "720p/playlist.m3u8", "720p/0.ts"];
        for name in files {
            self.file(name, "new");
        }
        let files = files.map(PathBuf::from).to_vec();
        Artifact::directory(self.work.path().to_owned(), files, Path::new("master.m3u8"))
    }

    async fn publish(&self, artifact: &Artifact, path: &str) -> Result<Url, Error> {
        let storage = Storage::Local(Local::new(self.root.path()));
        storage.publish(artifact, &destination(artifact, path), self.work.path(), &self.permit).await
    }

    async fn check(&self, artifact: &Artifact, path: &str) -> Result<(), Error> {
        Storage::Local(Local::new(self.root.path())).check(&destination(artifact, path)).await
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("creates");
        fs::write(path, text).expect("writes");
    }

    /// Every file and folder of the storage but the staging folder, which must be empty.
    fn tree(&self) -> Vec<String> {
        let (mut tree, mut folders) = (Vec::new(), vec![self.root.path().to_owned()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")) {
                let path = entry.path();
                if entry.file_type().expect("a type").is_dir() {
                    folders.push(path.clone());
                }
                tree.push(path.strip_prefix(self.root.path()).expect("inside").display().to_string());
            }
        }
        tree.retain(|path| path != ".flux-staging");
        tree.sort();
        tree
    }
}

fn destination(artifact: &Artifact, path: &str) -> Destination {
    let content = match artifact {
        Artifact::File(_) => Content::File,
        Artifact::Directory { .. } => Content::Directory,
    };
    Destination { path: path.to_owned(), metadata: BTreeMap::new(), content, author: None }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("is there").permissions().mode() & 0o777
}

#[tokio::test]
async fn a_file_arrives_readable_for_all_without_a_copy() {
    let case = Case::new();
    let file = case.file("out.mp4", "film");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("changes");
    let url = case.publish(&Artifact::File(file.clone()), "films/a b.mp4").await.expect("publishes");
    let target = case.root.path().join("films/a b.mp4");
    assert_eq!(url.to_file_path().as_deref(), Ok(&*target));
    assert!(url.as_str().starts_with("file:///") && url.as_str().ends_with("/films/a%20b.mp4"), "{url}");
    assert_eq!(fs::read_to_string(&target).expect("reads"), "film");
    assert_eq!((mode(&target), mode(&case.root.path().join("films"))), (0o644, 0o755));
    let inode = |path: &Path| fs::metadata(path).expect("is there").ino();
    assert_eq!(inode(&target), inode(&file));
    assert_eq!(case.tree(), ["films", "films/a b.mp4"]);
}

#[tokio::test]
async fn a_directory_arrives_whole() {
    let case = Case::new();
    let url = case.publish(&case.ladder(), "films/one/").await.expect("publishes");
    assert!(url.as_str().ends_with("/films/one/master.m3u8"), "{url}");
    let folder = "films/one";
    assert_eq!(
        case.tree()[2..],
        ["720p", "720p/0.ts", "720p/playlist.m3u8", "master.m3u8"].map(|name| format!("{folder}/{name}"))
    );
}

#[tokio::test]
async fn an_older_output_is_replaced() {
    let case = Case::new();
    case.put("film.mp4", "old");
    case.publish(&Artifact::File(case.file("out.mp4", "new")), "film.mp4").await.expect("publishes");
    assert_eq!(fs::read_to_string(case.root.path().join("film.mp4")).expect("reads"), "new");
    assert_eq!(case.tree(), ["film.mp4"]);
}

#[tokio::test]
async fn a_failure_half_way_takes_everything_back() {
    let case = Case::new();
    case.put("out/720p/playlist.m3u8", "old");
    // The last file cannot take its place.
    case.put("out/master.m3u8/folder", "in the way");
    let before = case.tree();
    let error = case.publish(&case.ladder(), "out").await.expect_err("it fails");
    let place = case.root.path().join("out/master.m3u8");
    assert_eq!(error.to_string(), format!("output.path: {} is a folder, not a file", place.display()));
    assert_eq!(error.blame(), Blame::Job);
    assert_eq!(case.tree(), before);
    assert_eq!(fs::read_to_string(case.root.path().join("out/720p/playlist.m3u8")).expect("reads"), "old");
}

#[tokio::test]
async fn folders_made_for_a_failure_are_removed() {
    let case = Case::new();
    let (segment, entry) = (PathBuf::from("a/0.ts"), PathBuf::from("b/x/master.m3u8"));
    case.file("a/0.ts", "x");
    case.file("b/x/master.m3u8", "x");
    case.put("out/b", "a file");
    let artifact = Artifact::directory(case.work.path().to_owned(), vec![segment, entry.clone()], &entry);
    let error = case.publish(&artifact, "out").await.expect_err("it fails");
    assert!(error.to_string().ends_with("/out/b is not a folder"), "{error}");
    assert_eq!(case.tree(), ["out", "out/b"]);
}

#[tokio::test]
async fn a_cancelled_publication_leaves_nothing() {
    let case = Case::new();
    case.permit.token().cancel();
    assert!(matches!(case.publish(&case.ladder(), "out").await, Err(Error::Cancelled)));
    assert_eq!(case.tree(), [""; 0]);
}

#[tokio::test]
async fn a_link_that_leads_out_is_not_followed() {
    let (case, outside) = (Case::new(), tempfile::tempdir().expect("a folder"));
    symlink(outside.path(), case.root.path().join("out")).expect("links");
    let error = case.publish(&case.ladder(), "out").await.expect_err("it leads out");
    assert!(error.to_string().ends_with("/out is a symbolic link that leads out of the storage"), "{error}");
    assert_eq!(fs::read_dir(outside.path()).expect("a folder").count(), 0);
}

#[tokio::test]
async fn a_link_inside_the_storage_is_followed_and_one_at_the_place_is_replaced() {
    let case = Case::new();
    case.put("real/old.mp4", "old");
    symlink("real", case.root.path().join("alias")).expect("links");
    symlink("old.mp4", case.root.path().join("real/film.mp4")).expect("links");
    case.publish(&Artifact::File(case.file("out.mp4", "new")), "alias/film.mp4").await.expect("publishes");
    assert_eq!(fs::read_to_string(case.root.path().join("real/film.mp4")).expect("reads"), "new");
    assert_eq!(fs::read_to_string(case.root.path().join("real/old.mp4")).expect("reads"), "old");
}

#[tokio::test]
async fn a_missing_or_odd_source_is_named() {
    let case = Case::new();
    let missing = case.work.path().join("missing.mp4");
    let error = case.publish(&Artifact::File(missing.clone()), "film.mp4").await.expect_err("it is missing");
    assert!(error.to_string().starts_with(&format!("cannot read {}: No such file", missing.display())), "{error}");
    assert_eq!(error.blame(), Blame::Infrastructure);
    symlink("/etc/passwd", &missing).expect("links");
    let error = case.publish(&Artifact::File(missing), "film.mp4").await.expect_err("it is a link");
    assert!(error.to_string().ends_with("not a regular file"), "{error}");
    assert_eq!(case.tree(), [""; 0]);
}

#[tokio::test]
async fn a_storage_that_is_a_file_is_known_before_the_encode() {
    let case = Case::new();
    case.put("file", "x");
    let file = case.root.path().join("file");
    let artifact = case.ladder();
    let error =
        Storage::Local(Local::new(&file)).check(&destination(&artifact, "out")).await.expect_err("it is a file");
    assert_eq!(error.to_string(), format!("{} is not a folder", file.display()));
    assert_eq!(error.blame(), Blame::Infrastructure);
}

#[tokio::test]
async fn what_is_in_the_way_is_known_before_the_encode() {
    let case = Case::new();
    case.put("out/file", "x");
    let (file, directory) = (Artifact::File(case.file("out.mp4", "x")), case.ladder());
    case.check(&file, "out/file").await.expect("a file may be replaced");
    case.check(&directory, "out").await.expect("a folder may be added to");
    let error = case.check(&file, "out").await.expect_err("a folder is there").to_string();
    assert!(error.ends_with("/out is a folder, not a file"), "{error}");
    let error = case.check(&directory, "out/file").await.expect_err("a file is there").to_string();
    assert!(error.ends_with("/out/file is not a folder"), "{error}");
    let error = case.check(&file, "out/file/film.mp4").await.expect_err("a file is on the way").to_string();
    assert!(error.ends_with("/out/file is not a folder"), "{error}");
    case.check(&file, "out/new/film.mp4").await.expect("folders are made");
    case.check(&file, "film.mp4").await.expect("nothing is there");
    assert_eq!(case.tree(), ["out", "out/file"]);
}

#[tokio::test]
async fn a_link_that_leads_out_is_known_before_the_encode() {
    let (case, outside) = (Case::new(), tempfile::tempdir().expect("a folder"));
    symlink(outside.path(), case.root.path().join("out")).expect("links");
    for (artifact, place) in [(Artifact::File(case.file("out.mp4", "x")), "out/film.mp4"), (case.ladder(), "out")] {
        let error = case.check(&artifact, place).await.expect_err("it leads out").to_string();
        assert!(error.ends_with("/out is a symbolic link that leads out of the storage"), "{place}: {error}");
    }
    symlink("later", case.root.path().join("current")).expect("links");
    case.check(&case.ladder(), "current/film").await.expect("it may lead somewhere by then");
    // One in place of the file is replaced.
    case.check(&Artifact::File(case.file("out.mp4", "x")), "out").await.expect("a link may be replaced");
}

#[tokio::test]
async fn nothing_is_renamed_or_taken_back_after_the_end_of_the_lease() {
    let (case, hands) = (Case::new(), Hands::default());
    let lease = Lease::begin(&lease::tests::terms(&hands), 0);
    let permit = Permit::new(CancellationToken::new(), lease);
    let staging = Local::new(case.root.path()).stage_folder().expect("a folder");
    let stage = |name: &str| {
        let staged = staging.path().join(name);
        fs::write(&staged, "ours").expect("writes");
        vec![(staged, PathBuf::from(name))]
    };
    let publish = |permit: &Permit| {
        let groups = [stage("segment"), stage("master")];
        Placement::new(case.root.path(), staging.path(), permit).place_all(&groups, None)
    };
    publish(&permit).expect("it has just begun");
    let before = fs::metadata(case.root.path().join("master")).expect("is there").ino();
    hands.set(1000);
    assert!(matches!(publish(&permit), Err(Error::Cancelled)));
    assert_eq!(fs::metadata(case.root.path().join("master")).expect("is there").ino(), before);
}

#[tokio::test]
async fn a_whole_output_of_the_same_job_is_known_until_it_is_forgotten() {
    let case = Case::new();
    let (storage, ladder) = (Storage::Local(Local::new(case.root.path())), case.ladder());
    let by = |job_id: &str, attempt| {
        let author = Some(Author { job_id: job_id.to_owned(), attempt });
        Destination { author, ..destination(&ladder, "out") }
    };
    let entry = Some(Path::new("master.m3u8"));
    let known = async |job_id: &str| storage.published(&by(job_id, 2), entry).await.expect("an answer");
    assert_eq!(known("a").await, None);
    let url = storage.publish(&ladder, &by("a", 1), case.work.path(), &case.permit).await.expect("publishes");
    assert_eq!((known("a").await, known("b").await), (Some(url), None));
    Local::new(case.root.path()).forget(&Author { job_id: "a".into(), attempt: 1 });
    assert_eq!(known("a").await, None);
}
