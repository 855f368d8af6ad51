//! Removes everything below a prefix.

use aws_sdk_s3::{
    error::ProvideErrorMetadata as _,
    types::{Delete, ObjectIdentifier},
};

use super::{Error, S3, cause, gate::Gate};
use crate::{failure::Blame, permit::Permit, uploader::journal::Upload};

/// More pages are not asked for at once: a server that deletes nothing would keep this busy for ever. At a thousand
/// objects a page there are never so many.
const MAX_PAGES: u32 = 1000;

impl S3 {
    /// Removes every object and every unfinished upload whose key begins with `prefix`.
    ///
    /// # Errors
    /// When some may be left.
    pub(in crate::uploader) async fn remove(&self, prefix: &str, permit: &Permit) -> Result<(), Error> {
        self.abort_uploads(prefix, permit).await?;
        for _ in 0..MAX_PAGES {
            if permit.is_over() {
                return Err(Error::Cancelled);
            }
            // Always the first page: what was on it before is gone.
            let page = self.client.get().await.list_objects_v2().bucket(&self.bucket).prefix(prefix).send().await;
            let page = page.map_err(|error| cause::error("list", &self.bucket, prefix, &error))?;
            let keys: Vec<_> = page.contents().iter().filter_map(|object| object.key()).collect();
            if keys.is_empty() {
                return Ok(());
            }
            self.delete_all(prefix, &keys, permit).await?;
        }
        Err(self.stays(prefix, "the server lists objects that were deleted".to_owned()))
    }

    async fn delete_all(&self, prefix: &str, keys: &[&str], permit: &Permit) -> Result<(), Error> {
        let name = |key: &&str| ObjectIdentifier::builder().key(*key).build().ok();
        let delete = Delete::builder().set_objects(Some(keys.iter().filter_map(name).collect())).quiet(true).build();
        let delete = delete.map_err(|error| self.stays(prefix, error.to_string()))?;
        let request = self.client.get().await.delete_objects().bucket(&self.bucket).delete(delete);
        let answer = request.customize().interceptor(Gate::Publish(permit.clone())).send().await;
        let answer = answer.map_err(|error| cause::error("delete objects below", &self.bucket, prefix, &error))?;
        match answer.errors().first() {
            None => Ok(()),
            Some(error) => Err(self.stays(prefix, error.message().or(error.code()).unwrap_or("no reason").to_owned())),
        }
    }

    /// Uploads that a worker has begun and could not abort. Not all servers and not all credentials let them be listed;
    /// then the worker that has begun one aborts it at its next start.
    async fn abort_uploads(&self, prefix: &str, permit: &Permit) -> Result<(), Error> {
        for _ in 0..MAX_PAGES {
            if permit.is_over() {
                return Err(Error::Cancelled);
            }
            let request = self.client.get().await.list_multipart_uploads().bucket(&self.bucket).prefix(prefix);
            let page = match request.send().await {
                Ok(page) => page,
                Err(error) if error.as_service_error().is_some_and(|error| error.code().is_some()) => {
                    tracing::debug!(s3.bucket = self.bucket, prefix, %error, "unfinished uploads cannot be listed");
                    return Ok(());
                }
                Err(error) => return Err(cause::error("list uploads below", &self.bucket, prefix, &error)),
            };
            for upload in page.uploads() {
                let (Some(key), Some(id)) = (upload.key(), upload.upload_id()) else { continue };
                let upload = Upload { bucket: self.bucket.clone(), key: key.to_owned(), id: id.to_owned() };
                self.client.abort(&upload).await?;
            }
            if !page.is_truncated().unwrap_or_default() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn stays(&self, prefix: &str, cause: String) -> Error {
        let (bucket, key) = (self.bucket.clone(), prefix.to_owned());
        Error::S3 { operation: "delete objects below", bucket, key, cause, blame: Blame::Infrastructure }
    }
}
