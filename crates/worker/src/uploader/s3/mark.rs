//! A marker beside the parts of a split job: whoever sees it has the same bucket, and whoever may leave it, see it and list
//! it may do all that split jobs need.

use aws_sdk_s3::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::head_object::HeadObjectError,
    primitives::ByteStream,
};

use super::{Error, S3, cause, gate::Gate};
use crate::permit::Permit;

impl S3 {
    /// Leaves an empty object and looks whether it is there. The inner error is why S3 denies that: it will not change.
    ///
    /// # Errors
    /// When that cannot be found out now.
    pub(in crate::uploader) async fn mark(&self, key: &str, permit: &Permit) -> Result<Result<(), String>, Error> {
        let client = self.client.get().await;
        let put = client.put_object().bucket(&self.bucket).key(key).body(ByteStream::from_static(b""));
        if let Err(error) = put.customize().interceptor(Gate::Publish(permit.clone())).send().await {
            return self.denied("upload", key, &error);
        }
        let seen = self.see(client, key).await;
        if !matches!(seen, Ok(Ok(()))) {
            // A job that is not split has no cleanup. Should it stay, it is empty.
            let delete = client.delete_object().bucket(&self.bucket).key(key);
            if let Err(error) = delete.customize().interceptor(Gate::Publish(permit.clone())).send().await {
                let error = cause::error("delete", &self.bucket, key, &error);
                tracing::warn!(%error, "a marker of a job that is not split stays");
            }
        }
        seen
    }

    async fn see(&self, client: &Client, key: &str) -> Result<Result<(), String>, Error> {
        if let Err(error) = client.get_object().bucket(&self.bucket).key(key).send().await {
            return self.denied("read", key, &error);
        }
        match client.list_objects_v2().bucket(&self.bucket).prefix(key).max_keys(1).send().await {
            Ok(_) => Ok(Ok(())),
            Err(error) => self.denied("list", key, &error),
        }
    }

    /// Whether there is such an object. Who may not look is not told, and finds out later.
    ///
    /// # Errors
    /// When that cannot be found out now.
    pub(in crate::uploader) async fn is_marked(&self, key: &str) -> Result<bool, Error> {
        match self.client.get().await.head_object().bucket(&self.bucket).key(key).send().await {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(HeadObjectError::is_not_found) => Ok(false),
            Err(SdkError::ServiceError(error)) if error.raw().status().as_u16() == 403 => Ok(true),
            Err(error) => Err(cause::error("look at", &self.bucket, key, &error)),
        }
    }

    fn denied<E>(
        &self,
        operation: &'static str,
        key: &str,
        error: &SdkError<E, HttpResponse>,
    ) -> Result<Result<(), String>, Error>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let is_denied = error.raw_response().is_some_and(|response| response.status().as_u16() == 403);
        let error = cause::error(operation, &self.bucket, key, error);
        if is_denied { Ok(Err(error.to_string())) } else { Err(error) }
    }
}
