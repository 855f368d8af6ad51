//! Publishes into an S3 bucket.
//!
//! Objects appear whole or not at all, which S3 itself guarantees; their order is that of the groups. After a failure
//! or a cancellation the objects that this attempt put are deleted, and its multipart uploads aborted. An object that
//! was there before and has been overwritten is not restored: S3 has no rename, so a second publication to the same
//! path replaces the first one file by file. So what another output may name stays. An object whose request broke off is
//! left alone, too: whether it is this attempt's or an earlier one nobody can tell, and it is whole in either case. So is
//! one that another job has overwritten meanwhile, which its `ETag` tells (see [`undo`]).
//!
//! Segments go up while others are still being encoded (see [`ahead`]). Each request that changes what others see asks
//! for permission at the last moment (see [`gate`]).

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock},
    time::Duration,
};

use url::Url;

use self::ahead::Ahead;
pub(crate) use self::client::{S3Client, S3Settings, Timing};
pub(super) use self::{client::Aborted, fetch::Sink};
use super::{Artifact, Destination, Error, artifact::is_playlist};
use crate::permit::Permit;

mod ahead;
mod cause;
mod client;
mod earlier;
mod fetch;
mod gate;
mod mark;
mod media_type;
mod multipart;
mod put;
mod remove;
#[cfg(test)]
pub(super) mod tests;
mod together;
mod undo;

/// How many files of a directory output are uploaded at once.
const FILES_AT_ONCE: usize = 8;

/// A bucket that outputs are published into. Clones share the connections.
#[derive(Debug, Clone)]
pub(crate) struct S3 {
    client: S3Client,
    bucket: String,
}

impl S3 {
    /// A storage in `bucket`. Sends nothing.
    pub(crate) fn new(client: S3Client, bucket: impl Into<String>) -> Self {
        Self { client, bucket: bucket.into() }
    }

    pub(super) fn begin<'a>(&'a self, destination: &'a Destination, journal: &'a Path) -> Publication<'a> {
        let destination = earlier::signed(destination);
        let (put, ahead, entry) = (Mutex::default(), Ahead::default(), OnceLock::new());
        Publication { s3: self, destination, journal, put, ahead, entry }
    }

    /// How long after its lease a task may still take back what it has published.
    pub(super) fn margin(&self) -> Duration {
        self.client.timing().margin()
    }
}

/// One attempt at publishing one output.
pub(crate) struct Publication<'a> {
    s3: &'a S3,
    destination: Cow<'a, Destination>,
    journal: &'a Path,
    /// The objects that are there because of this attempt.
    put: Mutex<Vec<undo::Put>>,
    /// Those that were put before the output was complete.
    ahead: Ahead,
    /// Key of the entry file of a directory output, once anything of it is put.
    entry: OnceLock<String>,
}

impl Publication<'_> {
    pub(super) async fn publish(&self, artifact: &Artifact, permit: &Permit) -> Result<Url, Error> {
        let entry = self.destination.key(artifact.entry());
        if artifact.entry().is_some() {
            self.entry.get_or_init(|| entry.clone());
        }
        self.confirm(permit).await;
        let groups = artifact.groups();
        for (left, group) in (0..groups.len()).rev().zip(groups) {
            if permit.is_over() {
                // The entry was not sent, so all of it can be taken back.
                self.undo(permit).await;
                return Err(Error::Cancelled);
            }
            if let Err(error) = self.put_group(group, permit).await {
                // Nobody may find a whole output here later whose parts were taken back now.
                if left == 0 && permit.is_leased() {
                    return self.settle(&entry, error).await;
                }
                self.undo(permit).await;
                return Err(error);
            }
        }
        if let Err(error) = self.mend(permit).await {
            tracing::warn!(%error, "somebody else writes to the same place; the output may not be whole any more");
        }
        Ok(url(&self.s3.bucket, &entry))
    }

    async fn put_group(&self, group: Vec<(PathBuf, Option<&Path>)>, permit: &Permit) -> Result<(), Error> {
        let permit = permit.child();
        let upload = async |(source, name): (PathBuf, Option<&Path>)| {
            let key = self.destination.key(name);
            if self.is_ahead(&source) {
                Ok(())
            } else if self.has_begun() && !is_playlist(&source) {
                self.put_segment(source, key, Room::Any, &permit).await
            } else {
                self.put_file(source, key, Room::Any, &permit).await
            }
        };
        let uploads: Vec<_> = group.into_iter().map(upload).collect();
        together::together(uploads, FILES_AT_ONCE, permit.token()).await.map(drop)
    }

    async fn put_file(&self, source: PathBuf, key: String, room: Room, permit: &Permit) -> Result<(), Error> {
        if permit.is_over() {
            return Err(Error::Cancelled);
        }
        let length = tokio::fs::metadata(&source).await.map_err(Error::io("read", &source))?.len();
        let media_type = media_type::of(&key, &source);
        let item = Item { source, key, length, media_type, room };
        if length <= multipart::MIN_PART_SIZE {
            self.put_small(&item, permit).await
        } else {
            self.put_in_parts(&item, &permit.child()).await
        }
    }
}

/// A file to upload.
#[derive(Debug)]
struct Item {
    source: PathBuf,
    key: String,
    length: u64,
    media_type: &'static str,
    room: Room,
}

/// Where an object may be put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    /// Only where none is, as far as the server knows of such a condition (RFC 9110, section 13.1.2).
    Free,
    /// Also in another's place.
    Any,
}

impl Room {
    /// What `If-None-Match` says of it.
    fn condition(self) -> Option<String> {
        (self == Self::Free).then(|| "*".to_owned())
    }
}

/// `s3://bucket/key`, percent-encoded.
fn url(bucket: &str, key: &str) -> Url {
    let mut url = Url::parse("s3://bucket").expect("a constant URL parses");
    // A bucket's name is lower-case letters, digits, dots and hyphens; another one has failed before.
    let _ = url.set_host(Some(bucket));
    if let Ok(mut path) = url.path_segments_mut() {
        path.extend(key.split('/'));
    }
    url
}
