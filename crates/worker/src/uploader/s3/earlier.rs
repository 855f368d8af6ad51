//! Knows an output that an earlier attempt at the same job has published whole.
//!
//! Every object of an attempt carries the job's id. The entry file is put last; so where it carries that id, all of the
//! output is there.

use std::borrow::Cow;

use aws_sdk_s3::{error::SdkError, operation::head_object::HeadObjectError};
use url::Url;

use super::{Destination, Error, Publication, S3, cause, url};

/// Name of the metadata that holds the job's id.
const JOB: &str = "flux-job";

/// S3's limit for an object's own metadata, in bytes.
const MAX_METADATA: usize = 2048;

/// The job's id, where it is to be stored: a caller's own metadata of that name comes first, and so does any that leaves
/// no room.
fn signature(destination: &Destination) -> Option<&str> {
    let job_id = &destination.author.as_ref()?.job_id;
    let is_free = !destination.metadata.keys().any(|key| key.eq_ignore_ascii_case(JOB));
    let used: usize = destination.metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    (is_free && used + JOB.len() + job_id.len() <= MAX_METADATA).then_some(job_id)
}

/// The destination with the job's id in its metadata.
pub(super) fn signed(destination: &Destination) -> Cow<'_, Destination> {
    let Some(job_id) = signature(destination) else { return Cow::Borrowed(destination) };
    let mut signed = destination.clone();
    signed.metadata.insert(JOB.to_owned(), job_id.to_owned());
    Cow::Owned(signed)
}

impl S3 {
    /// The URL of `key`, if it was published for the same job.
    pub(in crate::uploader) async fn published(
        &self,
        destination: &Destination,
        key: &str,
    ) -> Result<Option<Url>, Error> {
        let Some(job_id) = signature(destination) else { return Ok(None) };
        let is_ours = self.stored_job(key).await?.as_deref() == Some(job_id);
        Ok(is_ours.then(|| url(&self.bucket, key)))
    }

    async fn stored_job(&self, key: &str) -> Result<Option<String>, Error> {
        match self.client.get().await.head_object().bucket(&self.bucket).key(key).send().await {
            Ok(there) => Ok(there.metadata().and_then(|metadata| metadata.get(JOB)).cloned()),
            Err(error) if error.as_service_error().is_some_and(HeadObjectError::is_not_found) => Ok(None),
            // Servers deny what is not there to those who may not list, and some credentials may only write.
            Err(SdkError::ServiceError(error)) if error.raw().status().as_u16() == 403 => Ok(None),
            Err(error) => Err(cause::error("look at", &self.bucket, key, &error)),
        }
    }
}

impl Publication<'_> {
    /// The end of a publication whose last step failed. Whether S3 did that step is not always known: the entry file may
    /// be there, or still come. So what it names stays; a later attempt overwrites it.
    pub(super) async fn settle(&self, entry: &str, error: Error) -> Result<Url, Error> {
        match self.s3.published(&self.destination, entry).await {
            Ok(Some(url)) => Ok(url),
            Ok(None) | Err(_) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::uploader::{Author, Content};

    fn destination(metadata: &[(&str, &str)]) -> Destination {
        let metadata: BTreeMap<_, _> =
            metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let author = Some(Author { job_id: "job".into(), attempt: 1 });
        Destination { path: "out".into(), metadata, content: Content::File, author }
    }

    #[test]
    fn the_jobs_id_is_added_to_the_callers_metadata() {
        let signed = signed(&destination(&[("title", "A film")])).into_owned();
        assert_eq!(signed.metadata[JOB], "job");
        assert_eq!(signed.metadata["title"], "A film");
    }

    #[test]
    fn the_callers_metadata_comes_first() {
        let theirs = destination(&[("Flux-Job", "theirs")]);
        assert_eq!(signed(&theirs).metadata, theirs.metadata);
        let long = "x".repeat(MAX_METADATA - 5);
        let full = destination(&[("title", &long)]);
        assert_eq!(signed(&full).metadata, full.metadata);
    }

    #[test]
    fn without_an_attempt_nothing_is_added() {
        let unleased = Destination { author: None, ..destination(&[]) };
        assert_eq!(signed(&unleased).metadata, unleased.metadata);
    }
}
