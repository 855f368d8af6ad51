//! In a real folder and on a real S3 server.

use tempfile::TempDir;

use super::*;
use crate::uploader::{
    Local, S3,
    tests::{Network, Server},
};

struct Case {
    storage: Storage,
    scratch: TempDir,
    root: PathBuf,
    /// Removed and stopped when they are dropped.
    kept: (Option<TempDir>, Option<Server>),
}

async fn cases() -> [Case; 2] {
    let scratch = || tempfile::tempdir().expect("a folder");
    let (folder, server) = (scratch(), Server::start(crate::uploader::Timing::default()).await);
    let (local, s3): (_, S3) = (Local::new(folder.path()), server.storage());
    [
        Case {
            storage: Storage::Local(local),
            scratch: scratch(),
            root: folder.path().to_owned(),
            kept: (Some(folder), None),
        },
        Case { storage: Storage::S3(s3), scratch: scratch(), root: server.object(""), kept: (None, Some(server)) },
    ]
}

fn author(attempt: u32) -> Author {
    Author { job_id: "task".into(), attempt }
}

impl Case {
    async fn store(&self) -> Part {
        let path = self.scratch.path().join("made.mp4");
        std::fs::write(&path, vec![7; 100_000]).expect("writes");
        let files = vec![("v0.mp4".to_owned(), path)];
        let (author, permit) = (author(1), Permit::unleased());
        let stored = store(&self.storage, "job", "chunk-00000", files, Some(&author), self.scratch.path(), &permit);
        stored.await.expect("is stored")
    }

    async fn fetch(&self, part: &Part) -> Result<Vec<u8>, Error> {
        let into = self.scratch.path().join("fetched");
        fetch(&self.storage, "job", "chunk-00000", part, &into, &Permit::unleased()).await?;
        Ok(std::fs::read(into.join("v0.mp4")).expect("is there"))
    }
}

#[tokio::test]
async fn a_part_comes_back_as_it_was_stored() {
    for case in cases().await {
        let part = case.store().await;
        assert_eq!(case.fetch(&part).await.expect("comes back"), vec![7; 100_000]);
    }
}

#[tokio::test]
async fn a_later_attempt_finds_the_part() {
    for case in cases().await {
        let permit = Permit::unleased();
        let find = |name| {
            let (storage, permit) = (&case.storage, &permit);
            async move { stored(storage, "job", name, Some(&author(2)), permit).await.expect("can be asked") }
        };
        assert_eq!(find("chunk-00000").await, None);
        let part = case.store().await;
        assert_eq!(find("chunk-00000").await, Some(part));
        assert_eq!(find("chunk-00001").await, None);
    }
}

#[tokio::test]
async fn one_byte_that_has_changed_is_noticed() {
    for case in cases().await {
        let part = case.store().await;
        let file = case.root.join(".flux-parts/job/chunk-00000/v0.mp4");
        let mut bytes = std::fs::read(&file).expect("is there");
        bytes[50_000] ^= 1;
        std::fs::write(&file, &bytes).expect("writes");
        let error = case.fetch(&part).await.expect_err("is damaged");
        // S3 has a checksum of its own, which the client looks at first.
        let why = match case.storage {
            Storage::Local(_) => "v0.mp4: has another SHA-256 than when it was stored",
            Storage::S3(_) => "checksum mismatch",
        };
        assert!(error.to_string().contains(why), "{error}");
        bytes.pop();
        std::fs::write(&file, &bytes).expect("writes");
        let error = case.fetch(&part).await.expect_err("is damaged");
        if let Storage::Local(_) = case.storage {
            assert!(error.to_string().ends_with("v0.mp4: has 99999 bytes instead of 100000"), "{error}");
        }
        std::fs::remove_file(&file).expect("is there");
        let error = case.fetch(&part).await.expect_err("is gone");
        assert!(error.to_string().ends_with("v0.mp4: is missing"), "{error}");
        assert_eq!(error.blame(), crate::failure::Blame::Infrastructure);
    }
}

#[tokio::test]
async fn nothing_is_left_of_a_jobs_parts_and_all_of_others() {
    for case in cases().await {
        case.store().await;
        mark(&case.storage, "job", &Permit::unleased()).await.expect("answers").expect("marks");
        mark(&case.storage, "job-2", &Permit::unleased()).await.expect("answers").expect("marks");
        assert!(is_shared(&case.storage, "job").await.expect("can be asked"));
        for _ in 0..2 {
            remove(&case.storage, "job", &Permit::unleased()).await.expect("removes");
        }
        assert!(!case.root.join(".flux-parts/job/chunk-00000/v0.mp4").exists());
        assert!(is_shared(&case.storage, "job-2").await.expect("can be asked"));
        assert!(!is_shared(&case.storage, "job").await.expect("can be asked"));
        assert!(!may_be_shared(&case.storage, "job").await);
    }
}

#[tokio::test]
async fn a_storage_that_does_not_answer_holds_nobody_up() {
    let [_, case] = cases().await;
    let server = case.kept.1.as_ref().expect("a server");
    server.set(Network::Silent);
    let looked = timeout(LOOK * 3, may_be_shared(&case.storage, "job")).await;
    assert_eq!(looked, Ok(true), "it shows when the parts are used");
}

#[tokio::test]
async fn what_has_ended_fetches_nothing() {
    for case in cases().await {
        let part = case.store().await;
        let permit = Permit::unleased();
        permit.token().cancel();
        let into = case.scratch.path().join("fetched");
        let fetched = fetch(&case.storage, "job", "chunk-00000", &part, &into, &permit).await;
        assert!(matches!(fetched, Err(Error::Cancelled)), "{fetched:?}");
    }
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_is_refused() {
    for case in cases().await {
        let mut part = case.store().await;
        part.files[0].path = "../chunk-00000/v0.mp4".into();
        assert!(case.fetch(&part).await.is_err());
        assert!(remove(&case.storage, "..", &Permit::unleased()).await.is_err());
    }
}

#[tokio::test]
async fn a_storage_that_denies_parts_says_so() {
    for case in cases().await {
        let marked = mark(&case.storage, "forbidden", &Permit::unleased()).await.expect("answers");
        match case.storage {
            Storage::S3(_) => assert!(marked.is_err_and(|why| why.contains("access denied"))),
            Storage::Local(_) => assert_eq!(marked, Ok(()), "a name like any other"),
        }
    }
}

#[tokio::test]
async fn a_marker_that_cannot_be_read_does_not_stay() {
    let [_, case] = cases().await;
    let marked = mark(&case.storage, "write-only", &Permit::unleased()).await.expect("answers");
    assert!(marked.is_err_and(|why| why.contains("access denied")));
    assert!(!case.root.join(".flux-parts/write-only/shared").exists());
}
