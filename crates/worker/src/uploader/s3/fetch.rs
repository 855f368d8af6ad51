//! Reads objects of the worker's own.
//!
//! A body that breaks off is asked for again from where it stopped, and only of the same object. What has arrived is
//! handed on as it comes, so that nothing is in memory.

use aws_sdk_s3::{error::SdkError, operation::get_object::GetObjectError, primitives::ByteStream};
use futures_util::FutureExt as _;
use hyper::body::Bytes;
use tokio::time::{sleep, timeout};

use super::{Error, S3, cause};
use crate::{failure::Blame, permit::Permit};

/// How often a body may break off.
const TRIES: u32 = 4;

/// Takes the bytes of an object. A trait, since of an async closure the compiler cannot prove that its future can be sent
/// to another thread.
pub(in crate::uploader) trait Sink: Send {
    /// Takes what comes next.
    fn take(&mut self, bytes: &[u8]) -> impl Future<Output = Result<(), Error>> + Send;
}

/// A body that is being read.
struct Reading {
    body: ByteStream,
    etag: Option<String>,
}

impl S3 {
    /// Hands the bytes of an object to `sink`. False where there is no such object.
    ///
    /// # Errors
    /// When it cannot be read to its end, or `sink` fails.
    pub(in crate::uploader) async fn read(
        &self,
        key: &str,
        permit: &Permit,
        sink: &mut impl Sink,
    ) -> Result<bool, Error> {
        let Some(mut reading) = self.unless_over(permit, Box::pin(self.begin_to_read(key, 0, None))).await? else {
            return Ok(false);
        };
        let (mut offset, mut tries) = (0_u64, TRIES);
        loop {
            match self.piece(&mut reading, permit).await? {
                Ok(None) => return Ok(true),
                Ok(Some(bytes)) => {
                    sink.take(&bytes).await?;
                    offset += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                }
                Err(broken) => {
                    tries -= 1;
                    if tries == 0 {
                        return Err(self.unread(key, broken));
                    }
                    let pause = self.client.timing().backoff;
                    self.unless_over(permit, sleep(pause).map(Ok)).await?;
                    let again = Box::pin(self.begin_to_read(key, offset, reading.etag.as_deref()));
                    let again = self.unless_over(permit, again).await?;
                    reading = again.ok_or_else(|| self.unread(key, broken))?;
                }
            }
        }
    }

    /// The next bytes; `None` at the end. The inner error is worth another try.
    async fn piece(&self, reading: &mut Reading, permit: &Permit) -> Result<Result<Option<Bytes>, String>, Error> {
        let stall = self.client.timing().stall;
        tokio::select! {
            piece = timeout(stall, reading.body.next()) => Ok(match piece {
                Ok(None) => Ok(None),
                Ok(Some(Ok(bytes))) => Ok(Some(bytes)),
                Ok(Some(Err(error))) => Err(cause::chain(&error)),
                Err(_) => Err(format!("nothing came for {} s", stall.as_secs_f64())),
            }),
            () = permit.token().cancelled() => Err(Error::Cancelled),
        }
    }

    /// `None` where there is nothing to read from there on.
    async fn begin_to_read(&self, key: &str, offset: u64, etag: Option<&str>) -> Result<Option<Reading>, Error> {
        let range = (offset > 0).then(|| format!("bytes={offset}-"));
        let request = self.client.get().await.get_object().bucket(&self.bucket).key(key);
        let request = request.set_range(range).set_if_match(etag.map(ToOwned::to_owned)).send();
        match request.await {
            Ok(answer) => Ok(Some(Reading { etag: answer.e_tag, body: answer.body })),
            Err(SdkError::ServiceError(error)) if matches!(error.err(), GetObjectError::NoSuchKey(_)) => Ok(None),
            // It had all come, and its checksum was wrong.
            Err(SdkError::ServiceError(error)) if offset > 0 && error.raw().status().as_u16() == 416 => Ok(None),
            Err(error) => Err(cause::error("read", &self.bucket, key, &error)),
        }
    }

    async fn unless_over<T>(
        &self,
        permit: &Permit,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        tokio::select! {
            answer = request => answer,
            () = permit.token().cancelled() => Err(Error::Cancelled),
        }
    }

    fn unread(&self, key: &str, cause: String) -> Error {
        let (bucket, key) = (self.bucket.clone(), key.to_owned());
        Error::S3 { operation: "read", bucket, key, cause, blame: Blame::Infrastructure }
    }
}
