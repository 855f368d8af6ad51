//! Uploads a file in one request.

use aws_sdk_s3::primitives::{ByteStream, Length};
use tokio_util::sync::CancellationToken;

use super::{Error, Item, Publication, cause, together::unless_stopped};

/// How much is read from a file at once, in bytes.
const READ_SIZE: usize = 128 * 1024;

impl Publication<'_> {
    pub(super) async fn put_small(&self, item: &Item, stop: &CancellationToken) -> Result<(), Error> {
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
            .body(body(item, 0, item.length).await?)
            .customize()
            .config_override(self.s3.client.patience(item.length))
            .send();
        match unless_stopped(stop, self.s3.client.timing().grace, request).await {
            Some(Ok(answer)) => {
                self.note_put(item, answer.e_tag());
                Ok(())
            }
            Some(Err(error)) => Err(cause::error("upload", bucket, &item.key, &error)),
            None => Err(Error::Cancelled),
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
