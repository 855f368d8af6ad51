//! Against a real server, over real connections, some of them broken.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use url::Url;

use self::server::{BUCKET, Network, Server, client, impatient, patient, write_file};
use super::{Artifact, Destination, Error, Publication, Room, S3, Timing};
use crate::{
    failure::Blame,
    permit::Permit,
    scratch::Scratch,
    uploader::{
        Content,
        journal::{Note, Upload},
        recover,
    },
};

mod aborted;
mod ahead;
mod leased;
mod log;
pub(in crate::uploader) mod server;
mod taken_back;
mod unheard;

const MIB: usize = 1024 * 1024;

/// Three tries with the limits of these tests, and room for a busy machine.
const BOUND: Duration = Duration::from_secs(30);

struct Case {
    server: Server,
    work: TempDir,
    scratch: Scratch,
    permit: Permit,
}

impl Case {
    async fn new() -> Self {
        Self::with(patient()).await
    }

    async fn with(timing: Timing) -> Self {
        let work = tempfile::tempdir().expect("a folder");
        let scratch = Scratch::create(work.path(), "job").expect("a work folder");
        Self { server: Server::start(timing).await, work, scratch, permit: Permit::unleased() }
    }

    fn file(&self, name: &str, length: usize) -> PathBuf {
        let path = self.scratch.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("creates");
        write_file(&path, length);
        path
    }

    /// An HLS output.
    fn ladder(&self) -> Artifact {
        let files = ["master.m3u8", "480p/playlist.m3u8", "480p/0.ts", "480p/1.ts", "720p/playlist.m3u8", "720p/0.ts"];
        for file in files {
            self.file(file, 1000);
        }
        let files = files.map(PathBuf::from).to_vec();
        Artifact::directory(self.scratch.path().to_owned(), files, Path::new("master.m3u8"))
    }

    async fn publish(&self, artifact: &Artifact, path: &str) -> Result<Url, Error> {
        self.publish_to(&self.server.storage(), artifact, path).await
    }

    async fn publish_to(&self, storage: &S3, artifact: &Artifact, path: &str) -> Result<Url, Error> {
        storage.begin(&destination(artifact, path), self.scratch.path()).publish(artifact, &self.permit).await
    }

    /// Fails to publish, in time, and says how.
    async fn fail(&self, artifact: &Artifact) -> Error {
        let started = Instant::now();
        let error = self.publish(artifact, "out").await.expect_err("it fails");
        assert!(started.elapsed() < BOUND, "{:?}", started.elapsed());
        error
    }

    fn assert_nothing_left(&self) {
        assert_eq!(self.server.objects(), [""; 0]);
        assert_eq!(self.server.unfinished(), [""; 0]);
        assert_eq!(self.notes(), 0);
    }

    fn notes(&self) -> usize {
        let entries = std::fs::read_dir(self.scratch.path()).expect("a folder");
        entries.filter(|entry| entry.as_ref().is_ok_and(|entry| is_note(&entry.path()))).count()
    }
}

fn destination(artifact: &Artifact, path: &str) -> Destination {
    let content = match artifact {
        Artifact::File(_) => Content::File,
        Artifact::Directory { .. } => Content::Directory,
    };
    let metadata = BTreeMap::from([("title".to_owned(), "A film".to_owned())]);
    Destination { path: path.to_owned(), metadata, content, author: None }
}

fn is_note(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".flux-upload-"))
}

#[tokio::test]
async fn a_small_file_arrives_with_its_type_and_metadata() {
    let case = Case::new().await;
    let file = case.file("out.mp4", 1000);
    let url = case.publish(&Artifact::File(file.clone()), "films/a b%.mp4").await.expect("publishes");
    assert_eq!(url.as_str(), "s3://media/films/a%20b%25.mp4");
    assert_eq!(std::fs::read(case.server.object("films/a b%.mp4")).ok(), std::fs::read(file).ok());
    let client = case.server.good_client();
    let object = client.get().await.head_object().bucket(BUCKET).key("films/a b%.mp4").send().await.expect("is there");
    assert_eq!(object.content_type(), Some("video/mp4"));
    assert_eq!(object.metadata().expect("metadata")["title"], "A film");
}

#[tokio::test]
async fn a_large_file_arrives_in_parts() {
    let case = Case::new().await;
    let file = case.file("out.mp4", 20 * MIB);
    case.publish(&Artifact::File(file.clone()), "film.mp4").await.expect("publishes");
    assert!(std::fs::read(case.server.object("film.mp4")).ok() == std::fs::read(file).ok());
    let client = case.server.good_client();
    let object = client.get().await.head_object().bucket(BUCKET).key("film.mp4").send().await.expect("is there");
    assert_eq!(object.content_type(), Some("video/mp4"));
    assert_eq!(object.metadata().expect("metadata")["title"], "A film");
    assert_eq!(case.server.events().iter().filter(|event| event.contains("partNumber")).count(), 2 * 3);
    assert_eq!((case.server.unfinished().len(), case.notes()), (0, 0));
}

#[tokio::test]
async fn a_directory_appears_in_the_order_that_players_need() {
    let case = Case::new().await;
    let url = case.publish(&case.ladder(), "films/one/").await.expect("publishes");
    assert_eq!(url.as_str(), "s3://media/films/one/master.m3u8");
    let events = case.server.events();
    let last_end = |kind: &str| events.iter().rposition(|event| event.starts_with('-') && event.contains(kind));
    let first_begin = |kind: &str| events.iter().position(|event| event.starts_with('+') && event.contains(kind));
    assert!(last_end(".ts") < first_begin("playlist.m3u8"), "{events:?}");
    assert!(last_end("playlist.m3u8") < first_begin("master.m3u8"), "{events:?}");
    assert_eq!(case.server.objects().len(), 6);
}

#[tokio::test]
async fn a_directory_that_fails_half_way_is_taken_back() {
    let case = Case::new().await;
    let files = ["0.ts", "forbidden.m3u8", "master.m3u8"];
    for file in files {
        case.file(file, 10);
    }
    let (root, files) = (case.scratch.path().to_owned(), files.map(PathBuf::from).to_vec());
    let error = case.fail(&Artifact::directory(root, files, Path::new("master.m3u8"))).await;
    assert_eq!(
        error.to_string(),
        "cannot upload s3://media/out/forbidden.m3u8: access denied: AccessDenied: Not here. (HTTP 403)"
    );
    assert_eq!(error.blame(), Blame::Infrastructure);
    assert!(case.server.events().iter().any(|event| event.starts_with("-PUT /media/out/0.ts")));
    case.assert_nothing_left();
}

#[tokio::test]
async fn wrong_credentials_are_named() {
    let case = Case::new().await;
    let storage = S3::new(case.server.client("wrong"), BUCKET);
    for length in [10, 9 * MIB] {
        let file = Artifact::File(case.file("out.mp4", length));
        let error = case.publish_to(&storage, &file, "out").await.expect_err("it fails").to_string();
        assert!(error.contains("s3://media/out: wrong credentials: SignatureDoesNotMatch"), "{error}");
        case.assert_nothing_left();
    }
}

#[tokio::test]
async fn a_missing_bucket_is_named() {
    let case = Case::new().await;
    let storage = S3::new(case.server.good_client(), "absent");
    let file = Artifact::File(case.file("out.mp4", 10));
    let error = case.publish_to(&storage, &file, "out").await.expect_err("it fails").to_string();
    assert!(error.starts_with("cannot upload s3://absent/out: no such bucket: NoSuchBucket"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let case = Case::new().await;
    // Bound and dropped: nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let storage = S3::new(client(format!("http://{port}").parse().expect("a URL"), "secret", patient()), BUCKET);
    let file = Artifact::File(case.file("out.mp4", 10));
    let error = case.publish_to(&storage, &file, "out").await.expect_err("it fails");
    assert!(error.to_string().contains("Connection refused"), "{error}");
    assert_eq!(error.blame(), Blame::Infrastructure);
}

#[tokio::test]
async fn an_upload_to_a_server_that_dies_is_aborted_at_the_next_start() {
    let case = Case::with(impatient()).await;
    let file = Artifact::File(case.file("out.mp4", 20 * MIB));
    case.server.set(Network::DiesAfter(10 * MIB as u64));
    let error = case.fail(&file).await;
    assert!(error.to_string().starts_with("cannot upload part of s3://media/out: "), "{error}");
    assert_eq!(error.blame(), Blame::Infrastructure);
    assert_ne!(case.server.unfinished(), [""; 0]);

    let Case { server, work, scratch, .. } = case;
    scratch.remove().await.expect("removes what it may");
    // Still down: the note must stay.
    recover(work.path(), &server.good_client()).await;
    assert!(work.path().join("job").exists());
    server.set(Network::Whole);
    recover(work.path(), &server.good_client()).await;
    assert_eq!((server.unfinished().len(), server.objects().len()), (0, 0));
    assert!(!work.path().join("job").exists());
}

#[tokio::test]
async fn a_server_that_stops_reading_ends_in_an_error() {
    let case = Case::with(impatient()).await;
    let file = Artifact::File(case.file("out.mp4", 20 * MIB));
    case.server.set(Network::HangsAfter(MIB as u64));
    let error = case.fail(&file).await;
    assert!(error.to_string().starts_with("cannot upload part of s3://media/out: "), "{error}");
    case.assert_nothing_left();
}

#[tokio::test]
async fn a_server_that_never_answers_ends_in_an_error() {
    let case = Case::with(impatient()).await;
    let file = Artifact::File(case.file("out.mp4", 10));
    case.server.set(Network::Silent);
    let error = case.fail(&file).await;
    assert!(error.to_string().starts_with("cannot upload s3://media/out: "), "{error}");
    assert!(error.to_string().contains("timeout"), "{error}");
    // The reason is known, so it is not asked for.
    assert!(!case.server.events().iter().any(|event| event.contains("POST")), "{:?}", case.server.events());
}

#[tokio::test]
async fn a_cancellation_aborts_the_upload() {
    let case = Case::new().await;
    let file = Artifact::File(case.file("out.mp4", 40 * MIB));
    case.server.set(Network::HangsAfter(4 * MIB as u64));
    let cancel = async {
        case.server.saw("partNumber").await;
        case.permit.token().cancel();
    };
    let (published, ()) = tokio::join!(case.publish(&file, "out"), cancel);
    assert!(matches!(published, Err(Error::Cancelled)), "{published:?}");
    case.assert_nothing_left();
}

#[tokio::test]
async fn a_cancellation_takes_a_directory_back() {
    let case = Case::new().await;
    let artifact = case.ladder();
    let cancel = async {
        case.server.saw("-PUT /media/out/480p/0.ts").await;
        case.permit.token().cancel();
    };
    let (published, ()) = tokio::join!(case.publish(&artifact, "out"), cancel);
    // The rest may have been faster than the cancellation, then all of it is there.
    match published {
        Ok(_) => assert_eq!(case.server.objects().len(), 6),
        Err(error) => {
            assert!(matches!(error, Error::Cancelled), "{error}");
            case.assert_nothing_left();
        }
    }
}

#[tokio::test]
async fn nothing_is_sent_after_a_cancellation() {
    let case = Case::new().await;
    case.permit.token().cancel();
    let published = case.publish(&case.ladder(), "out").await;
    assert!(matches!(published, Err(Error::Cancelled)));
    assert_eq!(case.server.events(), [""; 0]);
}

#[tokio::test]
async fn an_upload_that_is_gone_needs_no_abort() {
    let Case { server, work, scratch, .. } = Case::new().await;
    let id = "00000000-0000-0000-0000-000000000000".to_owned();
    let upload = Upload { bucket: BUCKET.into(), key: "out".into(), id };
    Note::write(scratch.path(), &upload).expect("writes");
    drop(scratch);
    assert!(work.path().join("job").exists(), "the note keeps it");
    recover(work.path(), &server.good_client()).await;
    assert!(!work.path().join("job").exists());
}

#[tokio::test]
async fn a_presigned_url_needs_no_credentials_and_no_bucket() {
    let case = Case::new().await;
    let file = case.file("in.mp4", 1000);
    case.publish(&Artifact::File(file.clone()), "in put.mp4").await.expect("publishes");
    let url = case.server.good_client().presign_get(BUCKET, "in put.mp4", Duration::from_mins(1)).await.expect("signs");
    let body = get(&url).await;
    assert!(body.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&body));
    assert!(body.ends_with(&std::fs::read(file).expect("reads")));
}

async fn get(url: &Url) -> Vec<u8> {
    let address = *url.socket_addrs(|| None).expect("an address").first().expect("one");
    let mut socket = tokio::net::TcpStream::connect(address).await.expect("connects");
    let target = &url[url::Position::BeforePath..];
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.expect("sends");
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.expect("answers");
    answer
}
