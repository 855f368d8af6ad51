//! Publications under a lease, by a clock that jumps.

use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    clock::tests::Hands,
    lease::{self, Lease, Terms},
    uploader::Author,
};

/// A case whose lease has just begun; it lasts a second, with a minute more for taking back.
async fn leased(hands: &Hands) -> Case {
    let terms = Terms { margin: Duration::from_mins(1), ..lease::tests::terms(hands) };
    let lease = Lease::begin(&terms, 0);
    Case { permit: Permit::new(CancellationToken::new(), lease), ..Case::new().await }
}

/// The destination of an attempt at this job.
fn signed(artifact: &Artifact, job_id: &str) -> Destination {
    let author = Some(Author { job_id: job_id.to_owned(), attempt: 1 });
    Destination { author, ..destination(artifact, "out") }
}

async fn publish(case: &Case, artifact: &Artifact) -> Result<Url, Error> {
    let destination = signed(artifact, "job");
    case.server.storage().begin(&destination, case.scratch.path()).publish(artifact, &case.permit).await
}

#[tokio::test]
async fn nothing_is_sent_after_the_end_of_the_lease() {
    let hands = Hands::default();
    let case = leased(&hands).await;
    hands.set(1000);
    assert!(matches!(publish(&case, &case.ladder()).await, Err(Error::Cancelled)));
    assert_eq!(case.server.events(), [""; 0]);
}

#[tokio::test]
async fn an_upload_in_parts_is_not_completed_after_the_end_of_the_lease() {
    let hands = Hands::default();
    let case = leased(&hands).await;
    let file = Artifact::File(case.file("out.mp4", 20 * MIB));
    let jump = async {
        case.server.saw("+PUT").await;
        hands.set(1000);
    };
    let (published, ()) = tokio::join!(publish(&case, &file), jump);
    assert!(matches!(published, Err(Error::Cancelled)), "{published:?}");
    case.assert_nothing_left();
}

#[tokio::test]
async fn what_is_there_stays_once_another_attempt_may_have_begun() {
    for (millis, left) in [(1000, 0), (61_000, 1)] {
        let hands = Hands::default();
        let case = leased(&hands).await;
        let (storage, source) = (case.server.storage(), case.file("ours.ts", 10));
        let destination = signed(&Artifact::File(source.clone()), "job");
        let publication = storage.begin(&destination, case.scratch.path());
        publication.put_file(source, "out".into(), Room::Any, &case.permit).await.expect("puts");
        hands.set(millis);
        publication.undo(&case.permit).await;
        assert_eq!(case.server.objects().len(), left, "{millis}");
    }
}

#[tokio::test]
async fn a_whole_output_of_the_same_job_is_known_and_no_other() {
    let hands = Hands::default();
    let case = leased(&hands).await;
    let (ladder, storage) = (case.ladder(), case.server.storage());
    let known = async |job_id| {
        let destination = signed(&ladder, job_id);
        storage.published(&destination, "out/master.m3u8").await.expect("an answer")
    };
    assert_eq!(known("job").await, None);
    let url = publish(&case, &ladder).await.expect("publishes");
    assert_eq!(known("job").await, Some(url));
    assert_eq!(known("another").await, None);
}

#[tokio::test]
async fn a_server_that_cannot_be_asked_is_an_error() {
    let case = Case::with(impatient()).await;
    case.server.set(Network::Silent);
    let destination = signed(&case.ladder(), "job");
    let error = case.server.storage().published(&destination, "out/master.m3u8").await.expect_err("nobody answers");
    assert_eq!(error.blame(), Blame::Infrastructure);
}
