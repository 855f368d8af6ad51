//! The way of a whole job: encode, validate, publish.

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::{Job, Subject, describe, make_folder};
use crate::{
    certificate::{Growing, Survey},
    encoder::{self, Progress},
    permit::Permit,
    task::{
        Order, Workshop,
        failure::Failure,
        output::{self, Origin},
        reporter::{Done, Reporter},
    },
    validator,
};

impl Job<'_> {
    /// Encodes, validates and publishes all of it.
    pub(super) async fn produce_whole(&self, subject: &Subject<'_>, reporter: &mut Reporter) -> Result<Done, Failure> {
        let Order { storage, destination, preset, .. } = self.order;
        let publication = storage.begin(destination, subject.scratch).map_err(output::publishing)?;
        let directory = make_folder(subject.scratch, "output").await?;
        let folder = make_folder(subject.scratch, "proof").await?;
        let encoded = CancellationToken::new();
        let work = async {
            let (output, origin) = self.encode(subject, &directory, &folder, reporter).await?;
            encoded.cancel();
            let (source, scratch) = (&subject.media, folder.as_path());
            let proved = validator::Subject { preset, source, output: &output, scratch };
            let certificate = output::certify(self.workshop, &proved, origin, self.permit).await?;
            Ok((output, certificate))
        };
        let (output, certificate) =
            output::make(&publication, preset, (&directory, &encoded), self.permit, work).await?;
        reporter.uploading();
        let url = output::publish(&publication, preset, output, self.permit).await?;
        Ok(Done::Published { url, earlier: false, certificate: Some(Box::new(certificate)) })
    }

    /// Encodes, and looks at what is finished meanwhile.
    async fn encode(
        &self,
        subject: &Subject<'_>,
        directory: &Path,
        scratch: &Path,
        reporter: &mut Reporter,
    ) -> Result<(PathBuf, Origin), Failure> {
        let order = self.encoder_order(subject, directory)?;
        let duration = order.video.duration.or(subject.media.duration);
        let report = |progress: Progress| reporter.progress(progress, duration, &describe(progress));
        let Workshop { tools, limits, .. } = self.workshop;
        let over = CancellationToken::new();
        let surveying = self.permit.child();
        let encode = async {
            let _over = over.clone().drop_guard();
            let encoded = encoder::encode(tools, &order, limits, report, self.permit.token()).await;
            if encoded.is_err() {
                surveying.token().cancel();
            }
            encoded
        };
        let survey = self.survey(Growing { root: directory, over: &over, scratch }, &surveying);
        let (encoded, survey) = tokio::join!(encode, survey);
        let encoder::Made { output, frames } = subject.judge(encoded)?;
        let commands = vec![subject.shown(&encoder::arguments(&order))];
        Ok((output, Origin { commands, frames, survey: survey.still_so().await }))
    }

    /// A single file is finished when all of it is.
    async fn survey(&self, growing: Growing<'_>, permit: &Permit) -> Survey {
        let Workshop { tools, limits, .. } = self.workshop;
        match self.order.preset.entry_file() {
            None => Survey::default(),
            Some(_) => Survey::follow(tools, growing, limits.total, permit).await,
        }
    }
}
