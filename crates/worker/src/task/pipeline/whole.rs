//! The way of a whole job: encode, validate, publish.

use std::path::{Path, PathBuf};

use url::Url;

use super::{Job, Subject, describe};
use crate::{
    encoder::{self, Progress},
    media::Media,
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
        let output = self.encode(subject, reporter).await?;
        self.validate(subject.media, &output).await?;
        reporter.uploading();
        let url = self.publish(output, subject.scratch).await?;
        Ok(Done::Published { url, earlier: false, certificate: None })
    }

    async fn encode(&self, subject: &Subject<'_>, reporter: &mut Reporter) -> Result<PathBuf, Failure> {
        let (video, directory) = (subject.video()?, self.make_output(subject.scratch).await?);
        let order = self.encoder_order(subject, &directory)?;
        let duration = video.duration.or(subject.media.duration);
        let report = |progress: Progress| reporter.progress(progress, duration, &describe(progress));
        let Workshop { tools, limits, .. } = self.workshop;
        let encoded = encoder::encode(tools, &order, limits, report, self.permit.token()).await;
        subject.judge(encoded)
    }

    async fn validate(&self, source: &Media, output: &Path) -> Result<(), Failure> {
        let subject = validator::Subject { preset: self.order.preset, source, output };
        output::validate(self.workshop, &subject, self.permit).await
    }

    async fn publish(&self, output: PathBuf, scratch: &Path) -> Result<Url, Failure> {
        let Order { storage, destination, preset, .. } = self.order;
        output::publish(storage, destination, preset, output, scratch, self.permit).await
    }
}
