//! Uploads a file in parts.

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::SdkError,
    operation::create_multipart_upload::CreateMultipartUploadError,
    types::{CompletedMultipartUpload, CompletedPart},
};

use super::{
    Error, Item, Publication, cause,
    client::Aborted,
    gate::Gate,
    put::body,
    together::{together, unless_stopped},
};
use crate::{
    permit::Permit,
    uploader::journal::{Note, Upload},
};

/// Smallest part in bytes, and the largest file that goes in one request. S3 allows no less than 5 MiB.
pub(super) const MIN_PART_SIZE: u64 = 8 * MIB;

/// S3's limit.
const MAX_PARTS: u64 = 10_000;

/// How many parts of a file are uploaded at once.
const PARTS_AT_ONCE: usize = 4;

const MIB: u64 = 1024 * 1024;

/// A range of the file: its number from 1, its offset and its length.
type Part = (i32, u64, u64);

/// What S3 answered when it was asked to begin an upload.
type Begun = Result<Upload, SdkError<CreateMultipartUploadError, HttpResponse>>;

impl Publication<'_> {
    /// `permit` is this file's own: it ends when a part fails.
    pub(super) async fn put_in_parts(&self, item: &Item, permit: &Permit) -> Result<(), Error> {
        let upload = self.begin(item, permit).await?;
        let note = match Note::write(self.journal, &upload) {
            Ok(note) => note,
            Err(error) => {
                self.abort(&upload, None).await;
                return Err(Error::io("note a multipart upload in", self.journal)(error));
            }
        };
        let completed = match self.put_all_parts(item, &upload, permit).await {
            Ok(parts) => self.complete(item, &upload, parts, permit).await,
            Err(error) => Err(error),
        };
        match completed {
            Ok(etag) => {
                note.remove();
                self.note_put(item, etag.as_deref());
                Ok(())
            }
            Err(error) => {
                if self.abort(&upload, Some(note)).await == Some(Aborted::NoSuchUpload) {
                    // Nobody else ends this upload, so it was completed in spite of what we heard.
                    self.note_put(item, None);
                }
                Err(error)
            }
        }
    }

    async fn put_all_parts(&self, item: &Item, upload: &Upload, permit: &Permit) -> Result<Vec<CompletedPart>, Error> {
        // One future after the other: there may be thousands of parts.
        let puts = parts(item.length).into_iter().map(|part| self.put_part(item, upload, part, permit));
        let mut parts = together(puts, PARTS_AT_ONCE, permit.token()).await?;
        parts.sort_by_key(CompletedPart::part_number);
        Ok(parts)
    }

    async fn begin(&self, item: &Item, permit: &Permit) -> Result<Upload, Error> {
        let begun = self.ask_to_begin(item, permit).await.ok_or(Error::Cancelled)?;
        begun.map_err(|error| cause::error("begin upload to", &self.s3.bucket, &item.key, &error))
    }

    /// `None` when there was no answer by the time that `permit` ends.
    pub(super) async fn ask_to_begin(&self, item: &Item, permit: &Permit) -> Option<Begun> {
        let bucket = &self.s3.bucket;
        let request = self
            .s3
            .client
            .get()
            .await
            .create_multipart_upload()
            .bucket(bucket)
            .key(&item.key)
            .content_type(item.media_type)
            .set_metadata(Some(self.metadata()))
            .customize()
            .config_override(self.s3.client.patience(0))
            .send();
        // Given more time than a part: an upload whose id is never heard cannot be aborted.
        let answer = unless_stopped(permit.token(), self.s3.client.timing().clean_up, request).await?;
        let id = answer.map(|answer| answer.upload_id.unwrap_or_default());
        Some(id.map(|id| Upload { bucket: bucket.clone(), key: item.key.clone(), id }))
    }

    async fn put_part(
        &self,
        item: &Item,
        upload: &Upload,
        (number, offset, length): Part,
        permit: &Permit,
    ) -> Result<CompletedPart, Error> {
        if permit.is_over() {
            return Err(Error::Cancelled);
        }
        let request = self
            .s3
            .client
            .get()
            .await
            .upload_part()
            .bucket(&upload.bucket)
            .key(&upload.key)
            .upload_id(&upload.id)
            .part_number(number)
            .body(body(item, offset, length).await?)
            .customize()
            .config_override(self.s3.client.patience(length))
            .send();
        let answer =
            unless_stopped(permit.token(), self.s3.client.timing().grace, request).await.ok_or(Error::Cancelled)?;
        let answer = answer.map_err(|error| cause::error("upload part of", &upload.bucket, &upload.key, &error))?;
        // Checksums that the SDK added must be said again at the end.
        Ok(CompletedPart::builder()
            .part_number(number)
            .set_e_tag(answer.e_tag)
            .set_checksum_crc32(answer.checksum_crc32)
            .set_checksum_crc32_c(answer.checksum_crc32_c)
            .set_checksum_crc64_nvme(answer.checksum_crc64_nvme)
            .set_checksum_sha1(answer.checksum_sha1)
            .set_checksum_sha256(answer.checksum_sha256)
            .build())
    }

    /// Answers the object's `ETag`.
    async fn complete(
        &self,
        item: &Item,
        upload: &Upload,
        parts: Vec<CompletedPart>,
        permit: &Permit,
    ) -> Result<Option<String>, Error> {
        if permit.is_over() {
            return Err(Error::Cancelled);
        }
        let request = self
            .s3
            .client
            .get()
            .await
            .complete_multipart_upload()
            .bucket(&upload.bucket)
            .key(&upload.key)
            .upload_id(&upload.id)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
            .set_if_none_match(item.room.condition())
            .customize()
            .interceptor(Gate::Publish(permit.clone()))
            // S3 reads all of the file once more before it answers.
            .config_override(self.s3.client.patience(item.length))
            .send();
        let patience = permit.time_to_take_back(self.s3.client.timing().clean_up);
        let answer = unless_stopped(permit.token(), patience, request).await.ok_or(Error::Cancelled)?;
        if permit.has_lapsed() && answer.is_err() {
            return Err(Error::Cancelled);
        }
        let answer = answer.map_err(|error| cause::error("complete upload to", &upload.bucket, &upload.key, &error))?;
        Ok(answer.e_tag)
    }

    /// Aborts an upload; when that fails, its note stays for the next start. `None` when it failed.
    pub(super) async fn abort(&self, upload: &Upload, note: Option<Note>) -> Option<Aborted> {
        match self.s3.client.abort(upload).await {
            Ok(aborted) => {
                if let Some(note) = note {
                    note.remove();
                }
                Some(aborted)
            }
            Err(error) => {
                tracing::warn!(%error, "a multipart upload stays for now");
                None
            }
        }
    }
}

/// Cuts a file into parts.
fn parts(length: u64) -> Vec<Part> {
    let size = part_size(length);
    (1..).zip(0..length.div_ceil(size)).map(|(number, at)| (number, at * size, size.min(length - at * size))).collect()
}

/// The size of the parts of a file, such that they are few enough.
fn part_size(length: u64) -> u64 {
    length.div_ceil(MAX_PARTS).next_multiple_of(MIB).max(MIN_PART_SIZE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_the_file() {
        assert_eq!(parts(20 * MIB + 1), [(1, 0, 8 * MIB), (2, 8 * MIB, 8 * MIB), (3, 16 * MIB, 4 * MIB + 1)]);
        assert_eq!(parts(16 * MIB).len(), 2);
    }

    #[test]
    fn parts_grow_so_that_they_are_few_enough() {
        for length in [MIN_PART_SIZE * MAX_PARTS, MIN_PART_SIZE * MAX_PARTS + 1, 5 * 1024 * 1024 * MIB] {
            let count = length.div_ceil(part_size(length));
            assert!(count <= MAX_PARTS, "{length}: {count}");
        }
        assert_eq!(part_size(MIN_PART_SIZE * MAX_PARTS), MIN_PART_SIZE);
    }
}
