//! Uploads segments while others are still being encoded, so that little is left to do in the end.
//!
//! Nobody finds them: what names them is put last, after all of the output has been proved. Where another output is
//! published already they wait, since its players would get some of either.

use std::{
    collections::HashMap,
    ffi::OsStr,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use aws_sdk_s3::{error::SdkError, operation::head_object::HeadObjectError};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Error, Publication, cause, together::together};
use crate::{permit::Permit, uploader::files_below};

/// Pause between two looks at what is finished.
const PAUSE: Duration = Duration::from_secs(1);

/// How many segments go up at once: the encode needs the machine more.
const AT_ONCE: usize = 2;

/// Where files are, and what they were like when they were uploaded.
#[derive(Debug, Default)]
pub(super) struct Ahead(Mutex<HashMap<PathBuf, Version>>);

/// Length and time of the last change.
type Version = (u64, SystemTime);

impl Ahead {
    fn get(&self, file: &Path) -> Option<Version> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(file).copied()
    }

    fn note(&self, file: PathBuf, version: Version) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(file, version);
    }
}

impl Publication<'_> {
    /// Uploads what is finished in `root`, until `encoded`. `entry` is the path of the entry file inside the output.
    pub(in crate::uploader) async fn go_ahead(
        &self,
        root: &Path,
        entry: &Path,
        encoded: &CancellationToken,
        permit: &Permit,
    ) {
        match self.put_ahead(root, entry, encoded, &permit.child()).await {
            Ok(()) | Err(Error::Cancelled) => {}
            Err(error) => tracing::warn!(%error, "segments wait for the end of the encode"),
        }
    }

    async fn put_ahead(
        &self,
        root: &Path,
        entry: &Path,
        encoded: &CancellationToken,
        permit: &Permit,
    ) -> Result<(), Error> {
        let mut is_free = false;
        while let Some(files) = encoded.run_until_cancelled(look(root)).await.transpose()? {
            if files.is_empty() {
                continue;
            }
            if !is_free {
                let ask = Box::pin(self.is_free(entry));
                is_free = encoded.run_until_cancelled(ask).await.transpose()?.unwrap_or(false);
            }
            if !is_free {
                return Ok(());
            }
            let new = files.into_iter().filter(|name| self.ahead.get(&root.join(name)).is_none());
            let new = new.take_while(|_| !encoded.is_cancelled());
            let puts = new.map(|name| self.put_segment(root.join(&name), name, permit));
            together(puts, AT_ONCE, permit.token()).await?;
        }
        Ok(())
    }

    async fn put_segment(&self, file: PathBuf, name: PathBuf, permit: &Permit) -> Result<(), Error> {
        let version = version(&file).await?;
        self.put_file(file.clone(), self.destination.key(Some(&name)), permit).await?;
        self.ahead.note(file, version);
        Ok(())
    }

    /// Whether a file has gone ahead as it is now.
    pub(super) async fn is_ahead(&self, file: &Path) -> bool {
        let Some(before) = self.ahead.get(file) else { return false };
        version(file).await.is_ok_and(|now| now == before)
    }

    /// Whether no output is there. Who may not look does not know.
    async fn is_free(&self, entry: &Path) -> Result<bool, Error> {
        let (bucket, key) = (&self.s3.bucket, self.destination.key(Some(entry)));
        match self.s3.client.get().await.head_object().bucket(bucket).key(&key).send().await {
            Ok(_) => Ok(false),
            Err(error) if error.as_service_error().is_some_and(HeadObjectError::is_not_found) => Ok(true),
            Err(SdkError::ServiceError(error)) if error.raw().status().as_u16() == 403 => Ok(false),
            Err(error) => Err(cause::error("look at", bucket, &key, &error)),
        }
    }
}

/// The segments that are finished after a while.
async fn look(root: &Path) -> Result<Vec<PathBuf>, Error> {
    sleep(PAUSE).await;
    let folder = root.to_owned();
    let listed = tokio::task::spawn_blocking(move || files_below(&folder)).await.map_err(|_| Error::Crashed)?;
    Ok(finished(&listed.map_err(Error::io("list", root))?))
}

async fn version(file: &Path) -> Result<Version, Error> {
    let read = tokio::fs::metadata(file).await.and_then(|metadata| Ok((metadata.len(), metadata.modified()?)));
    read.map_err(Error::io("read", file))
}

/// Of the files of an output that is being written, the segments that are finished: those after which another one was
/// begun.
fn finished(files: &[PathBuf]) -> Vec<PathBuf> {
    let mut last = HashMap::new();
    for (series, number) in files.iter().filter_map(|file| series(file)) {
        let last = last.entry(series).or_insert(number);
        *last = number.max(*last);
    }
    let is_finished = |file: &PathBuf| series(file).is_some_and(|(series, number)| last[&series] > number);
    let mut finished: Vec<_> = files.iter().filter(|file| is_finished(file)).cloned().collect();
    finished.sort();
    finished
}

/// Which segments a file belongs to, and its number among them.
fn series(file: &Path) -> Option<((&Path, &str, &OsStr), u64)> {
    let stem = file.file_stem()?.to_str()?;
    let name = stem.trim_end_matches(|character: char| character.is_ascii_digit());
    Some(((file.parent()?, name, file.extension()?), stem[name.len()..].parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_finished_when_another_has_begun() {
        let files =
            ["a/s_00009.ts", "a/s_00010.ts", "b/s_00009.ts", "a/playlist.m3u8", "master.m3u8", "a/s_00011.ts.tmp"];
        let finished = finished(&files.map(PathBuf::from));
        assert_eq!(finished, [PathBuf::from("a/s_00009.ts")]);
    }
}
