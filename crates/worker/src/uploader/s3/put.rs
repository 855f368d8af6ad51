//! Uploads a file in one request.

use aws_sdk_s3::primitives::{ByteStream, Length};

use super::{Error, Item, Publication, cause, gate::Gate, together::unless_stopped};
use crate::{permit::Permit, uploader::journal::Note};

/// How much is read from a file at once, in bytes.
const READ_SIZE: usize = 128 * 1024;

impl Publication<'_> {
    pub(super) async fn put_small(&self, item: &Item, permit: &Permit) -> Result<(), Error> {
        let bucket = &self.s3.bucket;
        let request = self
            .s3
            .client
            .get()
            .await
            .put_object()
            .bucket(bucket)
            .key(&item.key)
            .content_type(item.media_type)
            .set_metadata(Some(self.metadata()))
            .set_if_none_match(item.room.condition())
            .body(body(item, 0, item.length).await?)
            .customize()
            .interceptor(Gate::Publish(permit.clone()))
            .config_override(self.s3.client.patience(item.length))
            .send();
        match unless_stopped(permit.token(), self.s3.client.timing().grace, request).await {
            Some(Ok(answer)) => {
                self.note_put(item, answer.e_tag());
                Ok(())
            }
            Some(Err(_)) if permit.has_lapsed() => Err(Error::Cancelled),
            Some(Err(error)) => {
                let refusal = if cause::broke_off(&error) { self.refusal(item, permit).await } else { None };
                Err(refusal.unwrap_or_else(|| cause::error("upload", bucket, &item.key, &error)))
            }
            None => Err(Error::Cancelled),
        }
    }

    /// Why S3 refuses an object whose request broke off, or `None` when it does not say so.
    ///
    /// A server that refuses an object may close the connection before it has read the body, and then its answer can be
    /// lost. Beginning a multipart upload needs the same permission and has no body.
    async fn refusal(&self, item: &Item, permit: &Permit) -> Option<Error> {
        if permit.is_over() {
            return None;
        }
        match self.ask_to_begin(item, permit).await? {
            Ok(upload) => {
                // Without a note it is aborted all the same.
                let note = Note::write(self.journal, &upload).ok();
                self.abort(&upload, note).await;
                None
            }
            Err(error) => {
                error.as_service_error()?;
                Some(cause::error("upload", &self.s3.bucket, &item.key, &error))
            }
        }
    }

    pub(super) fn metadata(&self) -> std::collections::HashMap<String, String> {
        self.destination.metadata.clone().into_iter().collect()
    }
}

/// A range of a file, read anew for each try.
pub(super) async fn body(item: &Item, offset: u64, length: u64) -> Result<ByteStream, Error> {
    ByteStream::read_from()
        .path(&item.source)
        .offset(offset)
        .length(Length::Exact(length))
        .buffer_size(READ_SIZE)
        .build()
        .await
        .map_err(|error| Error::io("read", &item.source)(std::io::Error::other(error)))
}
