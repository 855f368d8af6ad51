//! Stores that cannot be used, and stores that go away and come back.

use std::{fs, path::Path, process::Command};

use controlplane::store::{Change, Error, JobStore, OpenError, open};
use e2e::{
    Gate, Postgres,
    daemon::Port,
    postgres::{GUARDED, PASSWORD},
    until,
};
use rstest::rstest;

use super::world::*;

async fn error_of(url: &str, folder: &Path) -> OpenError {
    open(&config(url, folder)).await.map(drop).expect_err("it cannot be used")
}

#[tokio::test]
async fn a_file_where_the_folder_should_be_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("data");
    fs::write(&path, "").expect("a file");
    let text = error_of("sqlite://flux.db", &path).await.to_string();
    assert!(text.contains(&format!("cannot make the folder {}: ", path.display())), "{text}");
    assert!(text.contains("DATA_DIR must be a folder"), "{text}");
}

#[tokio::test]
async fn a_folder_that_takes_no_files_is_named() {
    // Not even root may make files there.
    let text = error_of("sqlite://flux.db", Path::new("/proc")).await.to_string();
    assert!(text.contains("cannot use the database /proc/flux.db"), "{text}");
    assert!(text.contains("check DATA_DIR"), "{text}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("flux.db");
    let text = "not a database ".repeat(1000);
    fs::write(&path, &text).expect("a file");
    let error = error_of("sqlite://flux.db", folder.path()).await;
    assert!(matches!(&error, OpenError::Damaged { .. }), "{error}");
    assert_eq!(fs::read_to_string(&path).expect("it is there"), text);
}

#[tokio::test]
async fn nothing_is_answered_from_a_damaged_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, config) = (folder.path().join("flux.db"), config("sqlite://flux.db", folder.path()));
    let store = open(&config).await.expect("a good store");
    let jobs: Vec<_> = (0..100).map(|_| job()).collect();
    for job in &jobs {
        queue(&*store, job).await;
    }
    store.close().await;
    let mut bytes = fs::read(&path).expect("it is there");
    // All but the first page, which says that it is a database.
    bytes[4096..].fill(0x5a);
    fs::write(&path, bytes).expect("it can be written");
    match open(&config).await {
        Err(error) => assert!(matches!(&error, OpenError::Damaged { .. }), "{error}"),
        Ok(store) => {
            let (read, written) = (store.get(jobs[0].id).await, store.create(new(&job(), WAITS)).await);
            assert!(matches!(&read, Err(Error::Unavailable(reason)) if reason.contains("malformed")), "{read:?}");
            assert!(matches!(&written, Err(Error::Unavailable(_))), "{written:?}");
            store.close().await;
        }
    }
}

#[tokio::test]
async fn tables_of_a_later_version_are_left_alone() {
    let world = World::new(Kind::File).await;
    world.store.close().await;
    let path = world.folder.path().join("flux.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let mut connection = sqlx::ConnectOptions::connect(&options).await.expect("a good file");
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (999, 'later', TRUE, x'00', 1)";
    sqlx::query(later).execute(&mut connection).await.expect("a new row");
    sqlx::Connection::close(connection).await.expect("it closes");
    let error = world.again().await.map(drop).expect_err("it is too new");
    assert!(matches!(&error, OpenError::Version { .. }), "{error}");
}

/// A file system with room for a megabyte; unmounted when dropped.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    /// `None` where this process may not mount.
    fn mount(folder: &'a Path) -> Option<Self> {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(folder).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(folder))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).output();
    }
}

#[tokio::test]
async fn a_full_disk_refuses_jobs_until_there_is_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(_disk) = SmallDisk::mount(folder.path()) else {
        eprintln!("not tried: only root may mount a small disk");
        return;
    };
    let config = config("sqlite://flux.db", folder.path());
    let store = open(&config).await.expect("there is room");
    let filler = folder.path().join("filler");
    fs::write(&filler, vec![0; 400_000]).expect("there is room");
    let mut accepted = Vec::new();
    let error = loop {
        let job = job();
        match store.create(new(&job, WAITS)).await {
            Ok(_) => accepted.push(job),
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, Error::Unavailable(reason) if reason.contains("full")), "{error}");
    assert!(matches!(store.check().await, Err(Error::Unavailable(_))));
    for job in &accepted {
        assert_eq!(get(&*store, job.id).await.job, *job);
    }
    fs::remove_file(filler).expect("it is there");
    assert_eq!(store.check().await, Ok(()));
    let job = job();
    queue(&*store, &job).await;
    accepted.push(job);
    store.close().await;
    let store = open(&config).await.expect("a good store");
    assert_eq!(store.waiting().await, Ok(accepted.len() as u64));
    for job in &accepted {
        assert_eq!(get(&*store, job.id).await.job, *job);
    }
    store.close().await;
}

async fn is_unavailable(store: &dyn JobStore) -> bool {
    matches!(store.create(new(&job(), WAITS)).await, Err(Error::Unavailable(_)))
}

#[tokio::test]
async fn a_folder_that_goes_away_takes_no_jobs_until_it_is_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, away) = (folder.path().join("data"), folder.path().join("away"));
    let store = open(&config("sqlite://flux.db", &data)).await.expect("a good store");
    let (first, second) = (job(), job());
    queue(&*store, &first).await;
    fs::rename(&data, &away).expect("it is there");
    let error = store.create(new(&second, WAITS)).await.expect_err("it would be lost");
    assert!(matches!(&error, Error::Unavailable(reason) if reason.contains("flux.db is gone")), "{error}");
    fs::create_dir(&data).expect("a folder");
    assert!(is_unavailable(&*store).await, "it never makes an empty file");
    fs::remove_dir(&data).expect("it is empty");
    fs::rename(&away, &data).expect("it is there");
    queue(&*store, &second).await;
    assert_eq!(store.waiting().await, Ok(2));
    store.close().await;
}

#[tokio::test]
async fn a_backup_in_its_place_is_used_without_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, away) = (folder.path().join("data"), folder.path().join("away"));
    let config = config("sqlite://flux.db", &data);
    let store = open(&config).await.expect("a good store");
    let (first, second) = (job(), job());
    queue(&*store, &first).await;
    fs::rename(&data, &away).expect("it is there");
    fs::create_dir(&data).expect("a folder");
    for name in ["flux.db", "flux.db-wal"] {
        fs::copy(away.join(name), data.join(name)).expect("a copy");
    }
    queue(&*store, &second).await;
    assert_eq!(get(&*store, first.id).await.job, first);
    assert_eq!(get(&*store, second.id).await.job, second);
    assert!(matches!(open(&config).await.map(drop), Err(OpenError::InUse { .. })), "the lock went with it");
    store.close().await;
}

#[rstest]
#[case(GUARDED, "wrong", "flux_unknown", "password authentication failed")]
#[case(GUARDED, PASSWORD, "flux_unknown", "does not exist")]
#[case("nobody_known", "", "postgres", "does not exist")]
#[tokio::test]
async fn a_server_that_refuses_is_named_without_the_password(
    #[case] user: &str,
    #[case] password: &str,
    #[case] database: &str,
    #[case] part: &str,
) {
    let address = Postgres::shared().await.address();
    let url = format!("postgres://{user}:{password}@{address}/{database}");
    let text = error_of(&url, Path::new("")).await.to_string();
    assert!(text.contains(part) && text.contains("check DATABASE_URL"), "{text}");
    assert!(password.is_empty() || !text.contains(&format!(":{password}@")), "{text}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let port = Port::reserve();
    let text = error_of(&format!("postgres://u:hush@{}/flux", port.address()), Path::new("")).await.to_string();
    assert!(text.contains("Connection refused") && !text.contains("hush"), "{text}");
}

#[tokio::test]
async fn a_server_that_goes_away_and_comes_back_is_used_again() {
    let server = Postgres::start().await;
    let store = open(&config(&server.database(), Path::new(""))).await.expect("a good store");
    let mut changes = store.changes();
    let mut accepted = vec![job()];
    queue(&*store, &accepted[0]).await;
    for crash in [false, true] {
        if crash {
            server.crash();
        } else {
            server.stop();
        }
        // At once, since each call waits a while for a server that may only be restarting.
        let (refused, unread, unchecked) =
            tokio::join!(is_unavailable(&*store), store.get(accepted[0].id), store.check());
        assert!(refused);
        assert!(matches!(unread, Err(Error::Unavailable(_))), "{unread:?}");
        assert!(matches!(unchecked, Err(Error::Unavailable(_))), "{unchecked:?}");
        server.restart().await;
        until("the store takes jobs", async || store.check().await.is_ok()).await;
        let job = job();
        queue(&*store, &job).await;
        accepted.push(job);
        let told = async { while changes.recv().await.expect("nothing was missed") != Change::Unknown {} };
        tokio::time::timeout(e2e::PATIENCE, told).await.expect("listeners are told to look");
    }
    for job in &accepted {
        assert_eq!(get(&*store, job.id).await.job, *job);
    }
    store.close().await;
}

#[tokio::test]
async fn a_server_that_takes_no_writes_is_not_available() {
    let server = Postgres::start().await;
    let store = open(&config(&server.database(), Path::new(""))).await.expect("a good store");
    let job = job();
    queue(&*store, &job).await;
    let read_only = |on: &str| {
        server.execute(&format!("ALTER SYSTEM SET default_transaction_read_only = {on}"));
        server.execute("SELECT pg_reload_conf()");
    };
    read_only("on");
    until("the server takes no writes", async || store.check().await.is_err()).await;
    assert!(is_unavailable(&*store).await);
    assert_eq!(get(&*store, job.id).await.job, job);
    read_only("off");
    until("the server takes writes", async || store.check().await.is_ok()).await;
    store.close().await;
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_and_used_again() {
    let server = Postgres::shared().await;
    let gate = Gate::before(server.address()).await;
    let url = server.database().replace(&server.address().to_string(), &gate.address().to_string());
    let store = open(&config(&url, Path::new(""))).await.expect("a good store");
    let mut changes = store.changes();
    gate.hold_after(0);
    let called = tokio::time::timeout(e2e::PATIENCE, is_unavailable(&*store)).await;
    assert!(called.expect("it is given up"), "nobody has written it down");
    gate.break_connections();
    gate.open();
    until("the store takes jobs", async || store.check().await.is_ok()).await;
    queue(&*store, &job()).await;
    let told = async { while changes.recv().await.expect("nothing was missed") != Change::Unknown {} };
    tokio::time::timeout(e2e::PATIENCE, told).await.expect("listeners are told to look");
    store.close().await;
}
