//! Publications that are taken back while others publish to the same place.

use super::{super::Item, *};

/// Lengths of a file that goes in one request, and of one that goes in parts.
const LENGTHS: [usize; 2] = [1000, 9 * MIB];

/// Puts a file of `length` at `out`, and in the end takes that back by the client of `undoer`.
async fn take_back(case: &Case, length: usize, undoer: &S3, meanwhile: impl Future<Output = ()>) {
    let (storage, source) = (case.server.storage(), case.file("ours.mp4", length));
    let destination = destination(&Artifact::File(source.clone()), "out");
    let publication = storage.begin(&destination, case.scratch.path());
    publication.put_file(source, "out".into(), Room::Any, &case.permit).await.expect("puts");
    meanwhile.await;
    Publication { s3: undoer, ..publication }.undo(&case.permit).await;
}

fn deleted(case: &Case) -> bool {
    case.server.events().iter().any(|event| event.starts_with("+DELETE /media/out"))
}

#[tokio::test]
async fn what_is_still_ours_is_deleted() {
    for length in LENGTHS {
        let case = Case::new().await;
        take_back(&case, length, &case.server.storage(), async {}).await;
        case.assert_nothing_left();
    }
}

#[tokio::test]
async fn what_another_job_published_meanwhile_stays() {
    for length in LENGTHS {
        let case = Case::new().await;
        let theirs = case.file("theirs.mp4", length + 1);
        let publish = async {
            case.publish(&Artifact::File(theirs.clone()), "out").await.expect("publishes");
        };
        Box::pin(take_back(&case, length, &case.server.storage(), publish)).await;
        assert!(std::fs::read(case.server.object("out")).ok() == std::fs::read(&theirs).ok(), "{length}");
        assert!(!deleted(&case));
    }
}

#[tokio::test]
async fn what_another_job_deleted_meanwhile_is_left_alone() {
    let case = Case::new().await;
    let delete = async { std::fs::remove_file(case.server.object("out")).expect("is there") };
    take_back(&case, 1000, &case.server.storage(), delete).await;
    assert!(!deleted(&case));
}

#[tokio::test]
async fn what_cannot_be_looked_at_stays() {
    let case = Case::new().await;
    let stranger = S3::new(case.server.client("wrong"), BUCKET);
    take_back(&case, 1000, &stranger, async {}).await;
    assert_eq!(case.server.objects(), ["out"]);
    assert!(!deleted(&case));
}

#[tokio::test]
async fn what_has_no_known_etag_is_not_noted() {
    let case = Case::new().await;
    let (storage, source) = (case.server.storage(), case.file("ours.mp4", 10));
    let destination = destination(&Artifact::File(source.clone()), "out");
    let publication = storage.begin(&destination, case.scratch.path());
    publication
        .note_put(&Item { source, key: "out".into(), length: 10, media_type: "video/mp4", room: Room::Any }, None);
    publication.undo(&case.permit).await;
    assert_eq!(case.server.events(), [""; 0]);
}

/// What was overwritten cannot be restored; what was deleted would be missing.
#[tokio::test]
async fn what_an_output_that_was_there_before_names_stays() {
    let case = Case::new().await;
    case.publish(&case.ladder(), "out").await.expect("publishes");
    let before = case.server.objects();
    case.file("480p/forbidden.m3u8", 10);
    let files = ["480p/0.ts", "480p/forbidden.m3u8", "master.m3u8"].map(PathBuf::from).to_vec();
    case.fail(&Artifact::directory(case.scratch.path().to_owned(), files, Path::new("master.m3u8"))).await;
    let puts = case.server.events().iter().filter(|event| event.starts_with("-PUT /media/out/480p/0.ts")).count();
    assert_eq!((puts, case.server.objects()), (2, before));
}

#[tokio::test]
async fn what_may_be_named_where_nobody_may_look_stays() {
    let case = Case::new().await;
    for file in ["0.ts", "forbidden.m3u8"] {
        case.file(file, 10);
    }
    let files = ["0.ts", "forbidden.m3u8"].map(PathBuf::from).to_vec();
    case.fail(&Artifact::directory(case.scratch.path().to_owned(), files, Path::new("forbidden.m3u8"))).await;
    assert_eq!(case.server.objects(), ["out/0.ts"]);
}
