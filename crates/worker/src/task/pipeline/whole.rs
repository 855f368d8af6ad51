//! The way of a whole job: encode, validate, publish.

use std::path::{Path, PathBuf};

use proto::v1::Certificate;
use url::Url;

use super::{Job, Subject, describe, make_folder};
use crate::{
    encoder::{self, Progress},
    task::{
        Order, Workshop,
        failure::Failure,
        output,
        reporter::{Done, Reporter},
    },
    validator,
};

impl Job<'_> {
    /// Encodes, validates and publishes all of it.
    pub(super) async fn produce_whole(&self, subject: &Subject<'_>, reporter: &mut Reporter) -> Result<Done, Failure> {
        let (output, command) = self.encode(subject, reporter).await?;
        let certificate = self.prove(subject, &output, command).await?;
        reporter.uploading();
        let url = self.publish(output, subject.scratch).await?;
        Ok(Done::Published { url, earlier: false, certificate: Some(Box::new(certificate)) })
    }

    /// Answers the output, and the command that made it.
    async fn encode(&self, subject: &Subject<'_>, reporter: &mut Reporter) -> Result<(PathBuf, Vec<String>), Failure> {
        let (video, directory) = (subject.video()?, make_folder(subject.scratch, "output").await?);
        let order = self.encoder_order(subject, &directory)?;
        let duration = video.duration.or(subject.media.duration);
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

    async fn publish(&self, output: PathBuf, scratch: &Path) -> Result<Url, Failure> {
        let Order { storage, destination, preset, .. } = self.order;
        output::publish(storage, destination, preset, output, scratch, self.permit).await
    }
}
