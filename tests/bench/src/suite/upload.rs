//! Publishing to a real S3 server, against the fastest client that is installed.
//!
//! The encode is a copy of something made before: only the time from UPLOADING to COMPLETED counts.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use e2e::{
    S3Server, Sandbox, clips, job,
    s3::{ACCESS_KEY, BUCKET, SECRET_KEY},
    sandbox,
};
use serde_json::Value;

use super::timeline::Timeline;
use crate::{
    measure::{Finding, Series, Unit, count, real, timed},
    plan::{self, Plan},
};

/// Size of the large file, in bytes.
const LARGE: u64 = 1_000_000_000;

/// Seconds of three renditions with segments of six seconds: 1,002 of them.
const LADDER: u32 = 2_004;

/// A client to compare with.
#[derive(Debug, Clone)]
struct Client {
    name: &'static str,
    /// Its arguments before what it copies.
    args: &'static [&'static str],
    /// Its figures of the file and of the ladder.
    figures: [&'static str; 2],
    program: PathBuf,
}

const S5CMD: &[&str] = &["--log", "error", "cp"];
const AWS: &[&str] = &["s3", "cp", "--only-show-errors", "--recursive"];

/// What is published, and by which job.
struct Load {
    names: [&'static str; 2],
    /// Which of a client's figures it makes.
    number: usize,
    what: String,
    made: PathBuf,
    bytes: u64,
    job: Value,
}

/// Publishes a large file and a ladder, in pairs with each client.
pub(super) async fn run(plan: &Plan) -> Result<Vec<Finding>> {
    let sandbox = Sandbox::new();
    let s3 = sandbox.s3().await;
    let clients: Vec<_> = clients().collect();
    ensure!(plan.smoke || !clients.is_empty(), "neither s5cmd nor aws is installed: run tests/bench.sh");
    let mut findings = Vec::new();
    for load in [large(plan, &sandbox)?, ladder(plan, &sandbox).await?] {
        findings.extend(compare(plan, &sandbox, &s3, &load, &clients).await?);
    }
    Ok(findings)
}

async fn compare(
    plan: &Plan,
    sandbox: &Sandbox,
    s3: &S3Server,
    load: &Load,
    clients: &[Client],
) -> Result<Vec<Finding>> {
    let made = load.made.display();
    let body = format!("for last; do :; done; if [ -d {made} ]; then cp -r {made}/. .; else cp {made} \"$last\"; fi");
    let copy = sandbox.script(
        "copying-ffmpeg",
        &format!("case \" $* \" in *\" -progress \"*) ;; *) exec ffmpeg \"$@\" ;; esac\n{body}"),
    );
    let worker = sandbox.worker().s3(&s3.endpoint(), ACCESS_KEY, SECRET_KEY).env("FFMPEG_PATH", &copy.display());
    let worker = worker.env("VALIDATION_LEVEL", "minimal").start().await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    let mut ours = Vec::new();
    let mut theirs = vec![Vec::new(); clients.len()];
    for _ in 0..plan.runs(3) {
        ours.push(Timeline::of(&plane, &load.job).await?.publishing().as_secs_f64());
        empty(s3)?;
        for (client, taken) in clients.iter().zip(&mut theirs) {
            taken.push(timed(client.put(s3, &load.made)).await.1);
            ensure!(stored(s3) == load.bytes, "{} has stored {} bytes of {}", client.name, stored(s3), load.bytes);
            empty(s3)?;
        }
    }
    Ok(figures(load, &ours, clients, &theirs))
}

/// The ratio to the fastest client of each pair, and how fast everybody was.
fn figures(load: &Load, ours: &[f64], clients: &[Client], theirs: &[Vec<f64>]) -> Vec<Finding> {
    let median = |taken: &[f64]| Series::from(taken.to_vec()).median();
    let fastest = clients.iter().zip(theirs).min_by(|a, b| median(a.1).total_cmp(&median(b.1)));
    let ratio = fastest.map(|(client, theirs)| {
        let ratios: Vec<_> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
        let what = format!("{}: publishing ÷ {} cp", load.what, client.name);
        Finding::new(load.names[0], what, Unit::Times, Series::from(ratios))
    });
    let rate = |name, who: &str, taken: &[f64]| {
        let rates: Vec<_> = taken.iter().map(|taken| real(load.bytes) / 1e6 / taken).collect();
        Finding::new(name, format!("{}: {who}", load.what), Unit::MegabytesPerSecond, Series::from(rates))
    };
    let rates = clients.iter().zip(theirs).map(|(client, taken)| rate(client.figures[load.number], client.name, taken));
    ratio.into_iter().chain([rate(load.names[1], "published", ours)]).chain(rates).collect()
}

/// A large film of noise, made by repeating a few seconds.
fn large(plan: &Plan, sandbox: &Sandbox) -> Result<Load> {
    let clip = clips::noise();
    let times = plan.pick(LARGE, 0) / fs::metadata(&clip)?.len();
    let args = ["-stream_loop", &times.to_string(), "-i", &clip.display().to_string(), "-c", "copy"];
    let made = clips::made("large.mp4", &[&args[..], &["-movflags", "+faststart"]].concat());
    let bytes = fs::metadata(&made)?.len();
    let job = job(&sandbox.input(&made), "480p_h264", "s3", "upload/large.mp4");
    let what = format!("file of {:.0} MB", real(bytes) / 1e6);
    Ok(Load { names: ["upload/file", "upload/file-rate"], number: 0, what, made, bytes, job })
}

/// A ladder that a worker has encoded.
async fn ladder(plan: &Plan, sandbox: &Sandbox) -> Result<Load> {
    let input = sandbox.input(&plan::ribbon(plan.pick(LADDER, 12)));
    let order = |storage| job(&input, "hls_720p_abr_video_only", storage, "upload-ladder");
    let worker = sandbox.worker().start().await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    plane.completed(&order("local")).await;
    let made = sandbox.output_dir().join("upload-ladder");
    let files = sandbox::files(&made);
    let bytes = size(&made);
    let what = format!("ladder of {:.0} files, {:.0} MB", count(files.len()), real(bytes) / 1e6);
    Ok(Load { names: ["upload/ladder", "upload/ladder-rate"], number: 1, what, made, bytes, job: order("s3") })
}

/// The clients that are installed.
fn clients() -> impl Iterator<Item = Client> {
    let all = [
        ("s5cmd", S5CMD, ["upload/file-s5cmd", "upload/ladder-s5cmd"]),
        ("aws", AWS, ["upload/file-aws", "upload/ladder-aws"]),
    ];
    all.into_iter().filter_map(|(name, args, figures)| Some(Client { name, args, figures, program: find(name)? }))
}

/// Where a client is: among the tools of the tests, or in `PATH`. One that does not run is not there.
fn find(name: &str) -> Option<PathBuf> {
    let candidates = [plan::root().join("target/tools/bin").join(name), PathBuf::from(name)];
    candidates.into_iter().find(|path| {
        let mut command = Command::new(path);
        command.arg("--help").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    })
}

impl Client {
    /// Copies a file or a folder to the server.
    async fn put(&self, s3: &S3Server, made: &Path) -> Result<()> {
        let folder = made.is_dir();
        let from = if folder { format!("{}/", made.display()) } else { made.display().to_string() };
        let to = format!("s3://{BUCKET}/client/{}", if folder { "" } else { "large.mp4" });
        let mut command = tokio::process::Command::new(&self.program);
        command.args(self.args.iter().filter(|arg| folder || **arg != "--recursive")).args([from, to]);
        command.env("AWS_ENDPOINT_URL", s3.endpoint()).env("S3_ENDPOINT_URL", s3.endpoint());
        command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
        let status = command.env("AWS_REGION", "us-east-1").stdin(Stdio::null()).kill_on_drop(true).status().await;
        let status = status.with_context(|| format!("{} cannot be started", self.name))?;
        ensure!(status.success(), "{} ended with {status}", self.name);
        Ok(())
    }
}

fn stored(s3: &S3Server) -> u64 {
    size(&s3.folder.join(BUCKET))
}

fn size(folder: &Path) -> u64 {
    let sizes = sandbox::files(folder).into_iter().filter_map(|file| fs::metadata(folder.join(file)).ok());
    sizes.filter(fs::Metadata::is_file).map(|file| file.len()).sum()
}

/// Removes what was published, so that the disk does not fill.
fn empty(s3: &S3Server) -> Result<()> {
    for entry in fs::read_dir(s3.folder.join(BUCKET))? {
        fs::remove_dir_all(entry?.path())?;
    }
    Ok(())
}
