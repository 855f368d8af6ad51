//! What is said about uploads of the dead.

use super::{log::Log, *};

/// Recovers an upload to `key` under an id that the server does not know, and answers what was logged.
async fn recover_unknown(key: &str) -> Vec<String> {
    let Case { server, work, scratch, .. } = Case::new().await;
    let id = "00000000-0000-0000-0000-000000000000".to_owned();
    Note::write(scratch.path(), &Upload { bucket: BUCKET.into(), key: key.into(), id }).expect("writes");
    drop(scratch);
    let (log, _guard) = Log::listen();
    recover(work.path(), &server.good_client()).await;
    assert!(!work.path().join("job").exists(), "there is nothing to try again");
    log.lines().clone()
}

#[tokio::test]
async fn a_denied_abortion_is_a_warning_and_no_success() {
    let lines = recover_unknown("forbidden").await;
    let warning = lines.iter().find(|line| line.starts_with("WARN")).expect("a warning");
    for part in [
        "s3:AbortMultipartUpload",
        "s3.bucket=media",
        "s3.key=forbidden",
        "s3.upload_id=00000000-0000-0000-0000-000000000000",
    ] {
        assert!(warning.contains(part), "{part}: {warning}");
    }
    assert!(!lines.iter().any(|line| line.contains("aborted the multipart upload")), "{lines:?}");
}

#[tokio::test]
async fn an_upload_that_was_over_was_not_aborted() {
    let lines = recover_unknown("vanished").await;
    assert!(lines.iter().any(|line| line.contains("had ended before")), "{lines:?}");
    assert!(!lines.iter().any(|line| line.starts_with("WARN")), "{lines:?}");
}

#[tokio::test]
async fn an_unfinished_upload_is_aborted_without_a_warning() {
    let Case { server, work, scratch, .. } = Case::new().await;
    let client = server.good_client();
    let begun = client.get().await.create_multipart_upload().bucket(BUCKET).key("out").send().await.expect("begins");
    let id = begun.upload_id.expect("an id");
    Note::write(scratch.path(), &Upload { bucket: BUCKET.into(), key: "out".into(), id }).expect("writes");
    drop(scratch);
    let (log, _guard) = Log::listen();
    recover(work.path(), &client).await;
    // This server denies the second try, for there is nothing left.
    let lines = log.lines().clone();
    assert!(lines.iter().any(|line| line.contains("aborted the multipart upload")), "{lines:?}");
    assert!(!lines.iter().any(|line| line.starts_with("WARN")), "{lines:?}");
}
