//! Uploads segments while others are still being encoded, and while all of them are being proved, so that little is left
//! to do in the end.
//!
//! Nobody finds them: what names them is put last, after all of the output has been proved. Where another output is
//! published already they wait, since its players would get some of either, and nothing that is there is overwritten.
//! Before they are named, each is compared with what the server has: somebody else may have written there meanwhile. A
//! server that lists no `ETag`s is asked for each, for most of them while others are encoded; after that the times in its
//! list tell what has changed.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    path::{Path, PathBuf},
    pin::pin,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use aws_sdk_s3::{error::SdkError, operation::head_object::HeadObjectError, primitives::DateTime, types::Object};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio_util::sync::CancellationToken;

use super::{Error, FILES_AT_ONCE, Publication, Room, cause, together::together, undo::unquoted};
use crate::{
    encoder::PLAYLIST,
    folder::{Segments, Version, files_below},
    permit::Permit,
    uploader::{Draft, artifact::is_playlist},
};

/// How many segments go up at once while others are being encoded: the encode needs the machine more.
const AT_ONCE: usize = 2;

/// After how many segments they are looked at while others are being encoded; later after a quarter more.
const LOOK_EVERY: usize = 64;

/// How many objects are looked at at once.
const LOOKS_AT_ONCE: usize = 16;

/// How many objects a server lists at once.
const PAGE: usize = 1000;

/// What has gone ahead of an output.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// Whether anything has gone ahead.
    begun: AtomicBool,
    /// The files, and what they were like when they were uploaded.
    sent: Mutex<HashMap<PathBuf, Sent>>,
    /// Keys of objects that were asked for, and the times of their last change at which they were the ones that were put.
    asked: Mutex<HashMap<String, DateTime>>,
    /// Whether the server lists `ETag`s, once it is known.
    lists_etags: OnceLock<bool>,
}

/// What a server lists of an object.
#[derive(Debug)]
struct Listed {
    /// Few servers leave it out.
    etag: Option<String>,
    modified: Option<DateTime>,
}

/// A file that was uploaded.
#[derive(Debug, Clone)]
struct Sent {
    key: String,
    version: Version,
}

impl Ahead {
    fn with<T>(&self, work: impl FnOnce(&mut HashMap<PathBuf, Sent>) -> T) -> T {
        work(&mut self.sent.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn was_asked(&self, key: &str, modified: &DateTime) -> bool {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).get(key) == Some(modified)
    }

    fn note_asked(&self, key: &str, modified: DateTime) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), modified);
    }
}

impl Publication<'_> {
    /// Uploads what is finished of an output, until that is over.
    pub(in crate::uploader) async fn go_ahead(&self, draft: &Draft<'_>, permit: &Permit) {
        let permit = permit.child();
        let mut rounds = pin!(self.rounds(draft, &permit));
        let ended = tokio::select! {
            ended = &mut rounds => ended,
            () = draft.over.cancelled() => {
                permit.token().cancel();
                rounds.await
            }
        };
        match ended {
            Ok(()) | Err(Error::Cancelled) => {}
            Err(error) => tracing::warn!(%error, "segments wait for the proof of all"),
        }
    }

    async fn rounds(&self, draft: &Draft<'_>, permit: &Permit) -> Result<(), Error> {
        let Draft { root, entry, encoded, .. } = *draft;
        let entry_key = self.destination.key(Some(entry));
        let (mut segments, mut looked) = (Segments::new(root, encoded), 0);
        loop {
            let next = permit.token().run_until_cancelled(segments.next()).await.ok_or(Error::Cancelled)?;
            let (mut files, mut at_once) = (next.map_err(Error::io("list", root))?, AT_ONCE);
            let is_last = files.is_empty();
            if is_last {
                (files, at_once) = (left(root, entry).await?, FILES_AT_ONCE);
            }
            files.retain(|name| self.ahead.with(|sent| !sent.contains_key(&root.join(name))));
            for some in files.chunks(at_once) {
                // Asked each time, so that nothing but what is under way can come after another's entry file.
                let keys: Vec<_> = some.iter().map(|name| self.destination.key(Some(name))).collect();
                let names: BTreeSet<_> = keys.iter().flat_map(|key| may_name(&entry_key, key)).collect();
                if !self.are_free(names, permit.token()).await? {
                    return Ok(());
                }
                self.entry.get_or_init(|| entry_key.clone());
                self.ahead.begun.store(true, Ordering::Relaxed);
                let puts = some.iter().zip(keys);
                let puts = puts.map(|(name, key)| self.put_segment(root.join(name), key, Room::Free, permit));
                together(puts.collect::<Vec<_>>(), at_once, permit.token()).await?;
            }
            let sent = self.ahead.with(|sent| sent.len());
            if sent - looked >= LOOK_EVERY.max(looked / 4) {
                self.look(permit).await;
                looked = sent;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// Asks for what went ahead while there is time, where the server lists no `ETag`s. What goes wrong is told when it
    /// matters.
    async fn look(&self, permit: &Permit) {
        if self.ahead.lists_etags.get() != Some(&true) {
            let kept = Box::pin(self.kept(self.ahead.with(|sent| sent.clone())));
            let _early = permit.token().run_until_cancelled(kept).await;
        }
    }

    /// Whether anything has gone ahead.
    pub(super) fn has_begun(&self) -> bool {
        self.ahead.begun.load(Ordering::Relaxed)
    }

    /// Puts a file that is compared with what is there later.
    pub(super) async fn put_segment(
        &self,
        file: PathBuf,
        key: String,
        room: Room,
        permit: &Permit,
    ) -> Result<(), Error> {
        let version = Version::of(&file).map_err(Error::io("read", &file))?;
        self.put_file(file.clone(), key.clone(), room, permit).await?;
        self.ahead.with(|sent| sent.insert(file, Sent { key, version }));
        Ok(())
    }

    /// Whether a file has gone ahead as it is now.
    pub(super) fn is_ahead(&self, file: &Path) -> bool {
        let sent = self.ahead.with(|sent| sent.get(file).cloned());
        sent.is_some_and(|sent| Version::of(file).is_ok_and(|now| now == sent.version))
    }

    /// Forgets what went ahead and is not there any more as it was put: it is to be sent again.
    pub(super) async fn confirm(&self, permit: &Permit) {
        let kept = Box::pin(self.kept(self.ahead.with(std::mem::take)));
        let kept = permit.token().run_until_cancelled(kept).await.unwrap_or(Err(Error::Cancelled));
        let kept = kept.unwrap_or_else(|error| {
            tracing::warn!(%error, "segments are sent again, since nobody can tell whether they are still there");
            HashMap::new()
        });
        self.ahead.with(|sent| *sent = kept);
    }

    /// Sends again what somebody has overwritten or deleted while the output was published, unless another output has
    /// taken its place by now: then that is whole.
    pub(super) async fn mend(&self, permit: &Permit) -> Result<(), Error> {
        let sent = self.ahead.with(std::mem::take);
        let Some(entry) = self.entry.get().filter(|_| self.has_begun()) else { return Ok(()) };
        let permit = permit.child();
        let look = Box::pin(async {
            let kept = self.kept(sent.clone()).await?;
            let gone = sent.into_iter().filter(|(file, _)| !kept.contains_key(file)).collect::<Vec<_>>();
            // Asked last, so that as little as can be is put over what another output names.
            let is_ours = match self.etags().get(entry) {
                Some(etag) if !gone.is_empty() => self.is_ours(entry, etag).await?,
                Some(_) | None => true,
            };
            Ok(if is_ours { gone } else { Vec::new() })
        });
        let gone = permit.token().run_until_cancelled(look).await.ok_or(Error::Cancelled)??;
        let puts: Vec<_> =
            gone.into_iter().map(|(file, sent)| self.put_file(file, sent.key, Room::Any, &permit)).collect();
        together(puts, FILES_AT_ONCE, permit.token()).await.map(drop)
    }

    /// What is there as it was put.
    async fn kept(&self, sent: HashMap<PathBuf, Sent>) -> Result<HashMap<PathBuf, Sent>, Error> {
        if sent.is_empty() {
            return Ok(sent);
        }
        let (put, there) = (&self.etags(), &self.list(sent.len()).await?);
        if !there.is_empty() {
            self.ahead.lists_etags.get_or_init(|| there.values().all(|listed| listed.etag.is_some()));
        }
        let newest = there.values().filter_map(|listed| listed.modified).max();
        let looks = sent.into_iter().map(|(file, sent)| async move {
            let is_kept = match (put.get(&sent.key), there.get(&sent.key)) {
                (Some(ours), Some(listed)) => self.is_still(&sent.key, ours, listed, newest).await?,
                (None, _) | (_, None) => false,
            };
            Ok(is_kept.then_some((file, sent)))
        });
        let looks = stream::iter(looks.collect::<Vec<_>>()).buffer_unordered(LOOKS_AT_ONCE);
        let kept: Vec<_> = looks.try_collect().await?;
        Ok(kept.into_iter().flatten().collect())
    }

    /// Whether an object is the one that was put. Where its `ETag` is not listed it is asked for, once for each time of
    /// change. One of the `newest` time may be overwritten within the same, so that it is asked for again.
    async fn is_still(&self, key: &str, ours: &str, listed: &Listed, newest: Option<DateTime>) -> Result<bool, Error> {
        if let Some(etag) = &listed.etag {
            return Ok(etag == ours);
        }
        let settled = listed.modified.filter(|modified| Some(*modified) < newest);
        if settled.is_some_and(|modified| self.ahead.was_asked(key, &modified)) {
            return Ok(true);
        }
        let is_ours = self.is_ours(key, ours).await?;
        if let Some(modified) = settled.filter(|_| is_ours) {
            self.ahead.note_asked(key, modified);
        }
        Ok(is_ours)
    }

    /// The objects below the output's prefix. Where others have put much there, not all of them.
    async fn list(&self, count: usize) -> Result<HashMap<String, Listed>, Error> {
        let (bucket, prefix) = (&self.s3.bucket, self.destination.key(Some(Path::new(""))));
        let (mut there, mut next) = (HashMap::new(), None);
        for _ in 0..2 + 2 * count / PAGE {
            let request = self.s3.client.get().await.list_objects_v2().bucket(bucket).prefix(&prefix);
            let page = request.set_continuation_token(next).send().await;
            let page = page.map_err(|error| cause::error("list", bucket, &prefix, &error))?;
            let listed = |object: &Object| Listed {
                etag: object.e_tag().map(|etag| unquoted(etag).to_owned()),
                modified: object.last_modified().copied(),
            };
            there.extend(page.contents().iter().filter_map(|object| Some((object.key()?.to_owned(), listed(object)))));
            next = page.next_continuation_token().map(ToOwned::to_owned);
            if next.is_none() {
                break;
            }
        }
        Ok(there)
    }

    /// Whether there may be another output that names what was put: one that was there before, or one that has come since,
    /// whose objects can have the same bytes and `ETag`s.
    /// `own` are the playlists and all else that this attempt put.
    pub(super) async fn may_be_named(&self, key: &str, own: &HashSet<String>) -> Result<bool, Error> {
        let Some(entry) = self.entry.get() else { return Ok(false) };
        let others = may_name(entry, key).into_iter().filter(|name| name == entry || !own.contains(name));
        Ok(!self.are_free(others, &CancellationToken::new()).await?)
    }

    async fn are_free(&self, keys: impl IntoIterator<Item = String>, stop: &CancellationToken) -> Result<bool, Error> {
        let looks = keys.into_iter().map(|key| async move { self.is_free(&key, stop).await });
        let mut looks = stream::iter(looks.collect::<Vec<_>>()).buffer_unordered(LOOKS_AT_ONCE);
        while let Some(is_free) = looks.next().await {
            if !is_free? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether no output is there. Who may not look does not know.
    async fn is_free(&self, entry: &str, stop: &CancellationToken) -> Result<bool, Error> {
        let bucket = &self.s3.bucket;
        let ask = Box::pin(async { self.s3.client.get().await.head_object().bucket(bucket).key(entry).send().await });
        match stop.run_until_cancelled(ask).await.ok_or(Error::Cancelled)? {
            Ok(_) => Ok(false),
            Err(error) if error.as_service_error().is_some_and(HeadObjectError::is_not_found) => Ok(true),
            Err(SdkError::ServiceError(error)) if error.raw().status().as_u16() == 403 => Ok(false),
            Err(error) => Err(cause::error("look at", bucket, entry, &error)),
        }
    }
}

/// What could name a segment: the entry file of its output, and a playlist beside it, which another output may have as its
/// entry file.
fn may_name(entry: &str, key: &str) -> [String; 2] {
    let beside = key.rsplit_once('/').map_or(PLAYLIST.to_owned(), |(folder, _)| format!("{folder}/{PLAYLIST}"));
    [entry.to_owned(), beside]
}

/// What all that is encoded has besides playlists and manifests.
async fn left(root: &Path, entry: &Path) -> Result<Vec<PathBuf>, Error> {
    let folder = root.to_owned();
    let listed = tokio::task::spawn_blocking(move || files_below(&folder)).await.map_err(|_| Error::Crashed)?;
    let mut files = listed.map_err(Error::io("list", root))?;
    let is_temporary = |file: &Path| file.extension().is_some_and(|extension| extension == "tmp");
    files.retain(|file| file != entry && !is_playlist(file) && !is_temporary(file));
    files.sort();
    Ok(files)
}
