//! Takes back the objects that an attempt put, but not what others put in their place meanwhile.

use std::{
    collections::{HashMap, HashSet},
    sync::PoisonError,
    time::Duration,
};

use aws_sdk_s3::operation::head_object::HeadObjectError;
use futures_util::{StreamExt as _, stream};
use tokio::time::timeout;

use super::{Error, FILES_AT_ONCE, Item, Publication, cause, gate::Gate};
use crate::permit::Permit;

/// Time to delete an object, beside others: three or four requests.
const PER_OBJECT: Duration = Duration::from_millis(50);

/// An object that is there because of this attempt.
#[derive(Debug)]
pub(super) struct Put {
    key: String,
    /// As S3 answered it, without the quotes that some answers have.
    etag: String,
}

impl Publication<'_> {
    /// Remembers an object for [`Publication::undo`]. One whose `ETag` is unknown cannot be told from another job's, so
    /// nobody takes it back.
    pub(super) fn note_put(&self, item: &Item, etag: Option<&str>) {
        let Some(etag) = etag else {
            tracing::warn!(
                s3.bucket = self.s3.bucket,
                s3.key = item.key,
                "an object without a known ETag stays if its job fails"
            );
            return;
        };
        let put = Put { key: item.key.clone(), etag: unquoted(etag).to_owned() };
        self.put.lock().unwrap_or_else(PoisonError::into_inner).push(put);
    }

    /// The `ETag`s of what was put, by key.
    pub(super) fn etags(&self) -> HashMap<String, String> {
        let put = self.put.lock().unwrap_or_else(PoisonError::into_inner);
        put.iter().map(|put| (put.key.clone(), put.etag.clone())).collect()
    }

    /// Deletes what this attempt put, the last first. Best effort: what stays is overwritten by the next attempt. Once
    /// that one may have begun nothing is deleted any more: its objects can have the same bytes and `ETag`s as these.
    pub(in crate::uploader) async fn undo(&self, permit: &Permit) {
        let mut put = std::mem::take(&mut *self.put.lock().unwrap_or_else(PoisonError::into_inner));
        put.reverse();
        let own = put.iter().map(|put| put.key.clone()).collect();
        let deletes: Vec<_> = put.iter().map(|put| self.take_back(put, &own, permit)).collect();
        let deletes = stream::iter(deletes).buffered(FILES_AT_ONCE).collect::<()>();
        let objects = u32::try_from(put.len()).unwrap_or(u32::MAX);
        let limit = self.s3.client.timing().clean_up.saturating_add(PER_OBJECT.saturating_mul(objects));
        if timeout(permit.time_to_take_back(limit), deletes).await.is_err() {
            tracing::warn!(
                s3.bucket = self.s3.bucket,
                objects = put.len(),
                "no time to delete objects of a failed upload"
            );
        }
    }

    async fn take_back(&self, put: &Put, own: &HashSet<String>, permit: &Permit) {
        // What could name it is looked for last, and what names it lists it after that.
        let is_ours =
            async { Ok(self.is_ours(&put.key, &put.etag).await? && !self.may_be_named(&put.key, own).await?) };
        let taken_back = match is_ours.await {
            Ok(true) => self.delete(&put.key, permit).await,
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = taken_back {
            tracing::warn!(%error, "an object of a failed upload stays");
        }
    }

    /// Whether the object is still the one that was put. It is asked for first because few servers know a conditional
    /// delete; what is published between the two requests is still lost.
    pub(super) async fn is_ours(&self, key: &str, etag: &str) -> Result<bool, Error> {
        let bucket = &self.s3.bucket;
        let answer = self.s3.client.get().await.head_object().bucket(bucket).key(key).send().await;
        match answer {
            Ok(there) => Ok(there.e_tag().map(unquoted) == Some(etag)),
            Err(error) if error.as_service_error().is_some_and(HeadObjectError::is_not_found) => Ok(false),
            Err(error) => Err(cause::error("look at", bucket, key, &error)),
        }
    }

    async fn delete(&self, key: &str, permit: &Permit) -> Result<(), Error> {
        let bucket = &self.s3.bucket;
        let request = self.s3.client.get().await.delete_object().bucket(bucket).key(key);
        let answer = request.customize().interceptor(Gate::TakeBack(permit.clone())).send().await;
        answer.map(drop).map_err(|error| cause::error("delete", bucket, key, &error))
    }
}

/// Servers do not agree where an `ETag` has its quotes.
pub(super) fn unquoted(etag: &str) -> &str {
    etag.trim_matches('"')
}
