//! Segments that go up while others are being encoded.

use std::time::SystemTime;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::uploader::Draft;

const FIRST: &str = "/media/out/480p/0.ts";

const SEGMENTS: [&str; 3] = ["out/480p/0.ts", "out/480p/1.ts", "out/720p/0.ts"];

/// What a job knows of its output.
#[derive(Default)]
struct Job {
    encoded: CancellationToken,
    over: CancellationToken,
}

impl Job {
    fn encoded() -> Self {
        let job = Self::default();
        job.encoded.cancel();
        job
    }

    fn end(&self) {
        self.encoded.cancel();
        self.over.cancel();
    }

    async fn go_ahead(&self, case: &Case, publication: &Publication<'_>) {
        let (root, entry) = (&case.scratch.path().join("output"), Path::new("master.m3u8"));
        let draft = Draft { root, entry, encoded: &self.encoded, over: &self.over };
        publication.go_ahead(&draft, &case.permit).await;
    }
}

/// An output in a folder of its own, as jobs have it.
fn ladder(case: &Case) -> Artifact {
    let files = ["master.m3u8", "480p/playlist.m3u8", "480p/0.ts", "480p/1.ts", "720p/playlist.m3u8", "720p/0.ts"];
    for file in files {
        case.file(&format!("output/{file}"), 1000);
    }
    let files = files.map(PathBuf::from).to_vec();
    Artifact::directory(case.scratch.path().join("output"), files, Path::new("master.m3u8"))
}

/// A ladder that goes ahead.
struct Started {
    case: Case,
    storage: S3,
    ladder: Artifact,
    destination: Destination,
}

impl Started {
    async fn new() -> Self {
        let case = Case::new().await;
        let (storage, ladder) = (case.server.storage(), ladder(&case));
        let destination = destination(&ladder, "out");
        Self { case, storage, ladder, destination }
    }

    /// All of it is encoded.
    async fn go_ahead(&self) -> Publication<'_> {
        let publication = self.publication();
        Job::encoded().go_ahead(&self.case, &publication).await;
        assert_eq!(self.case.server.objects(), SEGMENTS);
        publication
    }

    fn publication(&self) -> Publication<'_> {
        self.storage.begin(&self.destination, self.case.scratch.path())
    }

    async fn publish(&self, publication: &Publication<'_>) {
        publication.publish(&self.ladder, &self.case.permit).await.expect("publishes");
        assert_eq!(self.case.server.objects().len(), 6);
        let (file, object) =
            (self.case.scratch.path().join("output/480p/0.ts"), self.case.server.object("out/480p/0.ts"));
        assert_eq!(std::fs::read(object).ok(), std::fs::read(file).ok());
    }

    /// Somebody else writes there.
    async fn put(&self, key: &str) {
        let client = self.case.server.good_client();
        let put = client.get().await.put_object().bucket(BUCKET).key(key);
        put.body(b"another".to_vec().into()).send().await.expect("puts");
    }

    /// An object was changed so long from now.
    fn touch(&self, key: &str, ahead: Duration) {
        let object = std::fs::File::options().write(true).open(self.case.server.object(key)).expect("is there");
        object.set_modified(SystemTime::now() + ahead).expect("sets the time");
    }

    /// How often the first segment was sent.
    fn puts(&self) -> usize {
        self.requests("PUT")
    }

    fn requests(&self, method: &str) -> usize {
        let events = self.case.server.events();
        events.iter().filter(|event| event.starts_with(&format!("-{method} {FIRST}"))).count()
    }
}

#[tokio::test]
async fn a_segment_goes_up_when_another_has_begun() {
    let started = Started::new().await;
    let (job, publication) = (Job::default(), started.publication());
    let end = async {
        started.case.server.saw(&format!("-PUT {FIRST}")).await;
        job.end();
    };
    tokio::join!(job.go_ahead(&started.case, &publication), end);
    assert_eq!(started.case.server.objects(), ["out/480p/0.ts"], "nothing tells when the last ones are finished");
    started.publish(&publication).await;
    assert_eq!(started.puts(), 1);
}

#[tokio::test]
async fn what_went_ahead_is_not_sent_again() {
    let started = Started::new().await;
    let publication = started.go_ahead().await;
    started.publish(&publication).await;
    assert_eq!(started.puts(), 1);
}

/// Enough segments for a look at them.
fn lengthen(started: &Started) {
    for number in 10..80 {
        started.case.file(&format!("output/480p/{number}.ts"), 1000);
    }
}

/// Segments that were looked at, and something newer. This server lists no `ETag`s.
async fn looked_at(started: &Started) -> Publication<'_> {
    lengthen(started);
    started.put("out/notes").await;
    started.touch("out/notes", Duration::from_hours(2));
    let publication = started.publication();
    Job::encoded().go_ahead(&started.case, &publication).await;
    assert_eq!(started.requests("HEAD"), 1);
    publication
}

#[tokio::test]
async fn what_has_not_changed_is_asked_for_ahead_of_time_and_once() {
    let started = Started::new().await;
    let publication = looked_at(&started).await;
    publication.publish(&started.ladder, &started.case.permit).await.expect("publishes");
    assert_eq!((started.requests("HEAD"), started.puts()), (1, 1));
}

#[tokio::test]
async fn what_was_asked_for_and_has_changed_since_is_sent_again() {
    let started = Started::new().await;
    let publication = looked_at(&started).await;
    started.put("out/480p/0.ts").await;
    publication.publish(&started.ladder, &started.case.permit).await.expect("publishes");
    assert_eq!(started.puts(), 3, "ahead, by another, and again");
}

/// Whatever is put in its place at once may have the same time.
#[tokio::test]
async fn what_has_changed_last_is_asked_for_again() {
    let started = Started::new().await;
    let publication = started.go_ahead().await;
    started.touch("out/480p/0.ts", Duration::from_hours(2));
    let before = started.requests("HEAD");
    for more in 1..3 {
        publication.confirm(&started.case.permit).await;
        assert_eq!(started.requests("HEAD"), before + more);
    }
}

#[tokio::test]
async fn what_somebody_overwrote_during_the_last_steps_is_sent_again() {
    let started = Started::new().await;
    let publication = started.go_ahead().await;
    let master = started.case.scratch.path().join("output/master.m3u8");
    publication.put_file(master, "out/master.m3u8".into(), Room::Any, &started.case.permit).await.expect("puts");
    started.put("out/480p/0.ts").await;
    publication.mend(&started.case.permit).await.expect("mends");
    let (file, object) = ("output/480p/0.ts", started.case.server.object("out/480p/0.ts"));
    assert_eq!(std::fs::read(object).ok(), std::fs::read(started.case.scratch.path().join(file)).ok());
}

#[tokio::test]
async fn what_changed_meanwhile_is_sent_again() {
    let started = Started::new().await;
    let publication = started.go_ahead().await;
    started.case.file("output/480p/0.ts", 2000);
    started.publish(&publication).await;
    assert_eq!(started.puts(), 2);
}

#[tokio::test]
async fn what_somebody_else_overwrote_is_sent_again() {
    let started = Started::new().await;
    let publication = started.go_ahead().await;
    started.put("out/480p/0.ts").await;
    started.publish(&publication).await;
    assert_eq!(started.puts(), 3);
}

#[tokio::test]
async fn what_somebody_else_deleted_is_sent_again() {
    let started = Started::new().await;
    let publication = started.go_ahead().await;
    std::fs::remove_file(started.case.server.object("out/480p/0.ts")).expect("is there");
    started.publish(&publication).await;
    assert_eq!(started.puts(), 2);
}

#[tokio::test]
async fn what_went_ahead_can_be_taken_back() {
    let started = Started::new().await;
    let publication = started.go_ahead().await;
    publication.undo(&started.case.permit).await;
    started.case.assert_nothing_left();
}

#[tokio::test]
async fn playlists_that_followed_are_taken_back_too() {
    let started = Started::new().await;
    let publication = started.go_ahead().await;
    for name in ["480p/playlist.m3u8", "720p/playlist.m3u8"] {
        let file = started.case.scratch.path().join("output").join(name);
        publication.put_file(file, format!("out/{name}"), Room::Any, &started.case.permit).await.expect("puts");
    }
    publication.undo(&started.case.permit).await;
    started.case.assert_nothing_left();
}

#[tokio::test]
async fn what_another_output_may_name_stays() {
    let started = Started::new().await;
    let publication = started.go_ahead().await;
    started.put("out/master.m3u8").await;
    publication.undo(&started.case.permit).await;
    assert_eq!(started.case.server.objects().len(), 1 + SEGMENTS.len());
}

#[tokio::test]
async fn nothing_goes_ahead_over_an_output() {
    let started = Started::new().await;
    let (job, publication) = (Job::default(), started.publication());
    started.put("out/master.m3u8").await;
    // It ends by itself.
    job.go_ahead(&started.case, &publication).await;
    assert_eq!(started.puts(), 0);
}

/// Such as that of a single rendition, with the segments' names.
#[tokio::test]
async fn nothing_goes_ahead_over_an_output_in_its_folder() {
    let started = Started::new().await;
    let (job, publication) = (Job::encoded(), started.publication());
    started.put("out/480p/playlist.m3u8").await;
    job.go_ahead(&started.case, &publication).await;
    assert_eq!(started.case.server.objects(), ["out/480p/playlist.m3u8"]);
}

#[tokio::test]
async fn nothing_that_is_there_is_overwritten_ahead_of_time_or_taken_back() {
    let started = Started::new().await;
    let (job, publication) = (Job::encoded(), started.publication());
    started.put("out/480p/0.ts").await;
    job.go_ahead(&started.case, &publication).await;
    publication.undo(&started.case.permit).await;
    assert_eq!(started.case.server.objects(), ["out/480p/0.ts"]);
    assert_eq!(std::fs::read(started.case.server.object("out/480p/0.ts")).ok().as_deref(), Some(&b"another"[..]));
}

#[tokio::test]
async fn a_large_segment_overwrites_nothing_either() {
    let started = Started::new().await;
    let (job, publication) = (Job::encoded(), started.publication());
    started.case.file("output/480p/0.ts", 20 * MIB);
    started.put("out/480p/0.ts").await;
    job.go_ahead(&started.case, &publication).await;
    assert_eq!(std::fs::read(started.case.server.object("out/480p/0.ts")).ok().as_deref(), Some(&b"another"[..]));
    publication.undo(&started.case.permit).await;
    assert_eq!(started.case.server.objects(), ["out/480p/0.ts"]);
}

#[tokio::test]
async fn an_output_that_another_has_replaced_is_not_mended() {
    let started = Started::new().await;
    let publication = started.go_ahead().await;
    let master = started.case.scratch.path().join("output/master.m3u8");
    publication.put_file(master, "out/master.m3u8".into(), Room::Any, &started.case.permit).await.expect("puts");
    for key in ["out/master.m3u8", "out/480p/0.ts"] {
        started.put(key).await;
    }
    publication.mend(&started.case.permit).await.expect("has nothing to do");
    assert_eq!(std::fs::read(started.case.server.object("out/480p/0.ts")).ok().as_deref(), Some(&b"another"[..]));
}

#[tokio::test]
async fn nothing_goes_ahead_any_more_once_an_output_is_there() {
    let started = Started::new().await;
    let (job, publication) = (Job::default(), started.publication());
    let overtake = async {
        started.case.server.saw(&format!("-PUT {FIRST}")).await;
        started.put("out/master.m3u8").await;
        // By now this one is finished, too.
        started.case.file("output/480p/2.ts", 1000);
    };
    // It ends by itself.
    tokio::join!(job.go_ahead(&started.case, &publication), overtake);
    assert_eq!(started.case.server.objects(), ["out/480p/0.ts", "out/master.m3u8"]);
}

#[tokio::test]
async fn nothing_goes_ahead_where_nobody_may_look() {
    let mut started = Started::new().await;
    started.storage = S3::new(started.case.server.client("wrong"), BUCKET);
    Job::default().go_ahead(&started.case, &started.publication()).await;
    assert_eq!(started.case.server.objects(), [""; 0]);
}

#[tokio::test]
async fn a_server_that_is_gone_only_ends_it() {
    let case = Case::with(impatient()).await;
    let ladder = ladder(&case);
    case.server.set(Network::DiesAfter(0));
    let (storage, destination) = (case.server.storage(), destination(&ladder, "out"));
    Job::default().go_ahead(&case, &storage.begin(&destination, case.scratch.path())).await;
}

#[tokio::test]
async fn a_server_that_hangs_holds_nobody_up() {
    let case = Case::new().await;
    let ladder = ladder(&case);
    let (storage, destination) = (case.server.storage(), destination(&ladder, "out"));
    let (job, publication) = (Job::encoded(), storage.begin(&destination, case.scratch.path()));
    case.file("output/480p/0.ts", 3 * MIB);
    case.server.set(Network::HangsAfter(MIB as u64));
    let end = async {
        case.server.saw(&format!("+PUT {FIRST}")).await;
        job.end();
    };
    let started = Instant::now();
    tokio::join!(job.go_ahead(&case, &publication), end);
    assert!(started.elapsed() < BOUND, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_server_that_hangs_while_segments_are_looked_at_holds_nobody_up() {
    let started = Started::new().await;
    lengthen(&started);
    let (job, publication) = (Job::encoded(), started.publication());
    let end = async {
        started.case.server.saw("+GET").await;
        started.case.server.set(Network::Silent);
        job.end();
    };
    let begun = Instant::now();
    tokio::join!(job.go_ahead(&started.case, &publication), end);
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
}
