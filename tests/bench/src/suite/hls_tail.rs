//! From ffmpeg's exit to COMPLETED: what is left to do once the encode of a long ladder is over.

use anyhow::Result;
use e2e::{
    S3Server, Sandbox, job,
    s3::{ACCESS_KEY, BUCKET, SECRET_KEY},
    sandbox,
};

use super::timeline::{Timeline, since};
use crate::{
    measure::{Finding, Series, Unit, millis},
    plan::{self, Plan},
    spy::Spy,
};

/// Three renditions with segments of six seconds: 600 of them.
const SECONDS: u32 = 1_200;

/// Encodes a ladder into an S3 server of its own.
pub(super) async fn run(plan: &Plan) -> Result<Vec<Finding>> {
    let sandbox = Sandbox::new();
    let (spy, s3) = (Spy::new(&sandbox), sandbox.s3().await);
    let input = sandbox.input(&plan::ribbon(plan.pick(SECONDS, 12)));
    let worker = sandbox.worker().s3(&s3.endpoint(), ACCESS_KEY, SECRET_KEY);
    let worker = worker.env("FFMPEG_PATH", &spy.path.display()).start().await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    let (mut tails, mut checks, mut publications, mut segments) = (vec![], vec![], vec![], 0);
    for number in 0..plan.runs(3) {
        let job = job(&input, "hls_720p_abr_video_only", "s3", &format!("tail-{number}"));
        let timeline = Timeline::of(&plane, &job).await?;
        let encode = spy.times()?;
        tails.push(millis(since(timeline.completed, encode.end)));
        checks.push(millis(since(timeline.uploading, encode.end)));
        publications.push(millis(timeline.publishing()));
        segments = published(&s3, &format!("tail-{number}"));
    }
    let figure = |name, what: &str, values| Finding::new(name, what, Unit::Millis, Series::from(values));
    Ok(vec![
        figure("hls-tail/tail", &format!("{segments} segments: ffmpeg's exit to COMPLETED"), tails),
        figure("hls-tail/validate", "ffmpeg's exit to UPLOADING", checks),
        figure("hls-tail/publish", "UPLOADING to COMPLETED", publications),
    ])
}

/// How many segments the server has of an output.
fn published(s3: &S3Server, path: &str) -> usize {
    let files = sandbox::files(&s3.folder.join(BUCKET).join(path));
    files.iter().filter(|file| file.rsplit('.').next() == Some("ts")).count()
}
