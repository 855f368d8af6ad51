//! Segments that go up while others are being encoded.

use tokio_util::sync::CancellationToken;

use super::*;

const FIRST: &str = "/media/out/480p/0.ts";

/// Goes ahead of the ladder until its first segment is there.
async fn go_ahead(case: &Case, publication: &Publication<'_>) {
    let encoded = CancellationToken::new();
    let see = async {
        case.server.saw(&format!("-PUT {FIRST}")).await;
        encoded.cancel();
    };
    tokio::join!(until(case, publication, &encoded), see);
    assert_eq!(case.server.objects(), ["out/480p/0.ts"], "nothing tells when the last ones are finished");
}

async fn until(case: &Case, publication: &Publication<'_>, encoded: &CancellationToken) {
    let entry = Path::new("master.m3u8");
    publication.go_ahead(case.scratch.path(), entry, encoded, &case.permit).await;
}

fn puts(case: &Case) -> usize {
    case.server.events().iter().filter(|event| event.starts_with(&format!("-PUT {FIRST}"))).count()
}

#[tokio::test]
async fn what_went_ahead_is_not_sent_again() {
    let case = Case::new().await;
    let (storage, ladder) = (case.server.storage(), case.ladder());
    let destination = destination(&ladder, "out");
    let publication = storage.begin(&destination, case.scratch.path());
    go_ahead(&case, &publication).await;
    publication.publish(&ladder, &case.permit).await.expect("publishes");
    assert_eq!((case.server.objects().len(), puts(&case)), (6, 1));
}

#[tokio::test]
async fn what_changed_meanwhile_is_sent_again() {
    let case = Case::new().await;
    let (storage, ladder) = (case.server.storage(), case.ladder());
    let destination = destination(&ladder, "out");
    let publication = storage.begin(&destination, case.scratch.path());
    go_ahead(&case, &publication).await;
    let file = case.file("480p/0.ts", 2000);
    publication.publish(&ladder, &case.permit).await.expect("publishes");
    assert_eq!(std::fs::read(case.server.object("out/480p/0.ts")).ok(), std::fs::read(file).ok());
    assert_eq!(puts(&case), 2);
}

#[tokio::test]
async fn what_went_ahead_can_be_taken_back() {
    let case = Case::new().await;
    let (storage, ladder) = (case.server.storage(), case.ladder());
    let destination = destination(&ladder, "out");
    let publication = storage.begin(&destination, case.scratch.path());
    go_ahead(&case, &publication).await;
    publication.undo(&case.permit).await;
    case.assert_nothing_left();
}

#[tokio::test]
async fn nothing_goes_ahead_over_an_output_or_where_nobody_may_look() {
    let case = Case::new().await;
    let ladder = case.ladder();
    case.publish(&ladder, "out").await.expect("publishes");
    let storages = [case.server.storage(), S3::new(case.server.client("wrong"), BUCKET)];
    for storage in &storages {
        let destination = destination(&ladder, "out");
        // It ends by itself.
        until(&case, &storage.begin(&destination, case.scratch.path()), &CancellationToken::new()).await;
    }
    assert_eq!(puts(&case), 1);
}

#[tokio::test]
async fn a_server_that_is_gone_only_ends_it() {
    let case = Case::with(impatient()).await;
    let ladder = case.ladder();
    case.server.set(Network::DiesAfter(0));
    let (storage, destination) = (case.server.storage(), destination(&ladder, "out"));
    until(&case, &storage.begin(&destination, case.scratch.path()), &CancellationToken::new()).await;
}
