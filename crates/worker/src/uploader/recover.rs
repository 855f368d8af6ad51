//! Cleans up after workers that were killed.

use std::{io, path::Path};

use super::{
    S3Client,
    journal::{self, Upload},
    s3::Aborted,
};
use crate::scratch::{Dead, sweep};

/// Removes every dead work folder below `root`, after aborting the multipart uploads noted in it. A folder with an
/// upload that cannot be aborted now stays for the next time. Everything is logged, nothing stops the start; the time
/// is bounded for each upload.
pub(crate) async fn recover(root: &Path, client: &S3Client) {
    let dead = match sweep_blocking(root).await {
        Ok(dead) => dead,
        Err(error) => {
            tracing::warn!(path = %root.display(), %error, "cannot sweep work folders");
            return;
        }
    };
    for folder in dead {
        let path = folder.path().to_owned();
        if let Err(error) = abort_uploads(&folder, client).await {
            tracing::warn!(path = %path.display(), %error, "dead work folder stays for the next start");
            continue;
        }
        match tokio::task::spawn_blocking(move || folder.remove()).await.map_err(io::Error::other).flatten() {
            Ok(()) => tracing::info!(path = %path.display(), "removed dead work folder"),
            Err(error) => tracing::warn!(path = %path.display(), %error, "cannot remove dead work folder"),
        }
    }
}

async fn sweep_blocking(root: &Path) -> io::Result<Vec<Dead>> {
    let root = root.to_owned();
    tokio::task::spawn_blocking(move || sweep(&root)).await.map_err(io::Error::other)?
}

async fn abort_uploads(folder: &Dead, client: &S3Client) -> Result<(), String> {
    for note in folder.kept().map_err(|error| error.to_string())? {
        if let Some(upload) = journal::read(&note).map_err(|error| error.to_string())? {
            let aborted = client.abort_journal(&upload).await.map_err(|error| error.to_string())?;
            report(&upload, aborted);
        }
        std::fs::remove_file(&note).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn report(Upload { bucket, key, .. }: &Upload, aborted: Aborted) {
    match aborted {
        Aborted::Unfinished => {
            tracing::info!(s3.bucket = bucket, s3.key = key, "aborted the multipart upload of a dead worker");
        }
        Aborted::NoSuchUpload => {
            tracing::info!(s3.bucket = bucket, s3.key = key, "the multipart upload of a dead worker had ended before");
        }
        // The client has warned of it.
        Aborted::Denied => {}
    }
}
