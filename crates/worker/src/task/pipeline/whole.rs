//! The way of a whole job: encode, validate, publish.

use std::path::{Path, PathBuf};

use proto::v1::Certificate;
use tokio_util::sync::CancellationToken;

use super::{Job, Subject, describe, make_folder};
use crate::{
    encoder::{self, Progress},
    task::{
        Order, Workshop,
        failure::Failure,
        output,
        reporter::{Done, Reporter},
    },
    uploader::Publication,
    validator,
};

impl Job<'_> {
    /// Encodes, validates and publishes all of it.
    pub(super) async fn produce_whole(&self, subject: &Subject<'_>, reporter: &mut Reporter) -> Result<Done, Failure> {
        let Order { storage, destination, preset, .. } = self.order;
        let publication = storage.begin(destination, subject.scratch).map_err(output::publishing)?;
        let (output, certificate) = match self.make(subject, &publication, reporter).await {
            Ok(made) => made,
            Err(failure) => {
                publication.take_back(self.permit).await;
                return Err(failure);
            }
        };
        reporter.uploading();
        let url = output::publish(&publication, preset, output, self.permit).await?;
        Ok(Done::Published { url, earlier: false, certificate: Some(Box::new(certificate)) })
    }

    /// Answers the output, and what proves it.
    async fn make(
        &self,
        subject: &Subject<'_>,
        publication: &Publication<'_>,
        reporter: &mut Reporter,
    ) -> Result<(PathBuf, Certificate), Failure> {
        let directory = make_folder(subject.scratch, "output").await?;
        let encoded = CancellationToken::new();
        let encode = async {
            let _encoded = encoded.clone().drop_guard();
            self.encode(subject, &directory, reporter).await
        };
        let upload = async {
            if let Some(entry) = self.order.preset.entry_file() {
                publication.go_ahead(&directory, Path::new(entry), &encoded, self.permit).await;
            }
        };
        let (output, ()) = tokio::join!(encode, upload);
        let (output, command) = output?;
        let certificate = self.prove(subject, &output, command).await?;
        Ok((output, certificate))
    }

    /// Answers the output, and the command that made it.
    async fn encode(
        &self,
        subject: &Subject<'_>,
        directory: &Path,
        reporter: &mut Reporter,
    ) -> Result<(PathBuf, Vec<String>), Failure> {
        let order = self.encoder_order(subject, directory)?;
        let duration = order.video.duration.or(subject.media.duration);
        let report = |progress: Progress| reporter.progress(progress, duration, &describe(progress));
        let Workshop { tools, limits, .. } = self.workshop;
        let encoded = encoder::encode(tools, &order, limits, report, self.permit.token()).await;
        Ok((subject.judge(encoded)?, subject.shown(&encoder::arguments(&order))))
    }

    /// Looks at the output, and hashes its files meanwhile.
    async fn prove(&self, subject: &Subject<'_>, output: &Path, command: Vec<String>) -> Result<Certificate, Failure> {
        let folder = make_folder(subject.scratch, "proof").await?;
        let proved = validator::Subject { preset: self.order.preset, source: subject.media, output };
        let validate = output::validate(self.workshop, &proved, self.permit);
        let certify = output::certify(self.workshop, &proved, vec![command], &folder, self.permit);
        let (validated, certificate) = tokio::join!(validate, certify);
        // What the validator says of a bad output is clearer.
        validated.and(certificate)
    }
}
