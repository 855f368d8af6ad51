//! The worker's settings.

use std::{path::PathBuf, time::Duration};

use service::{
    LONGEST_LEASE,
    env::{self, Env, Mistakes, Reader, Setting},
    listen::{self, Endpoint},
    telemetry,
};

use crate::{encoder, input, tool::Tools, validator};

const GRPC_PORT: Setting = Setting { name: "GRPC_PORT", default: Some("50051"), help: "port of the gRPC server" };
const MAX_CONCURRENT_JOBS: Setting =
    Setting { name: "MAX_CONCURRENT_JOBS", default: Some("2"), help: "how many jobs run at once" };
pub(crate) const WORK_DIR: Setting = Setting {
    name: "WORK_DIR",
    default: Some("/tmp/ffmpeg-jobs"),
    help: "scratch space: one folder a job, removed afterwards; may be shared by several workers",
};
const STORAGE_TYPE: Setting = Setting {
    name: "STORAGE_TYPE",
    default: Some("s3"),
    help: "storage that must be configured: s3 or local; the other may be too",
};
const WORKER_ID: Setting = Setting { name: "WORKER_ID", default: Some("worker-1"), help: "name in status and logs" };
const S3_BUCKET: Setting = Setting {
    name: "S3_BUCKET",
    default: None,
    help: "bucket for output.storage \"s3\"; AWS_ENDPOINT_URL and the usual AWS variables work",
};
const S3_REGION: Setting = Setting { name: "S3_REGION", default: Some("us-east-1"), help: "region of the bucket" };
pub(crate) const LOCAL_STORAGE_DIR: Setting =
    Setting { name: "LOCAL_STORAGE_DIR", default: None, help: "folder for output.storage \"local\"" };
const DISABLE_AUTO_SHUTDOWN: Setting = Setting {
    name: "DISABLE_AUTO_SHUTDOWN",
    default: Some("false"),
    help: "true or 1: keep running; otherwise the worker exits 0 one second after its last job",
};
const FIRST_JOB_TIMEOUT: Setting = Setting {
    name: "FIRST_JOB_TIMEOUT",
    default: None,
    help: "exit 0 as well when no job has come this long after the start: something else woke the machine",
};
const SHUTDOWN_GRACE: Setting = Setting {
    name: "SHUTDOWN_GRACE",
    default: Some("30"),
    help: "how long running jobs may go on after SIGTERM, before they are stopped",
};
const ORPHAN_GRACE: Setting = Setting {
    name: "ORPHAN_GRACE",
    default: Some("60"),
    help: "how long a task goes on, or its result is kept, without its control plane; at most an hour",
};
const INPUT_DIR: Setting =
    Setting { name: "INPUT_DIR", default: None, help: "folder whose files may be read by file:// input URLs" };
const INPUT_ALLOW_LOOPBACK: Setting = Setting {
    name: "INPUT_ALLOW_LOOPBACK",
    default: Some("false"),
    help: "true or 1: inputs may come from this machine's own addresses; never link-local or metadata addresses",
};
const INPUT_TIMEOUT: Setting = Setting {
    name: "INPUT_TIMEOUT",
    default: Some("15"),
    help: "longest silence of an input's server before the job fails",
};
const STALL_TIMEOUT: Setting = Setting {
    name: "STALL_TIMEOUT",
    default: Some("120"),
    help: "longest time without progress of ffmpeg before it is killed",
};
const JOB_TIMEOUT: Setting =
    Setting { name: "JOB_TIMEOUT", default: Some("24h"), help: "longest time of one encode before ffmpeg is killed" };
const VALIDATION_LEVEL: Setting = Setting {
    name: "VALIDATION_LEVEL",
    default: Some("standard"),
    help: "minimal (files, playlists, facts), standard (and a sampled decode) or strict (and a complete decode)",
};
const VALIDATION_TIMEOUT: Setting = Setting {
    name: "VALIDATION_TIMEOUT",
    default: Some("30"),
    help: "longest time of one validation step; a complete decode gets the output's length on top",
};
const FFMPEG_PATH: Setting = Setting { name: "FFMPEG_PATH", default: Some("ffmpeg"), help: "ffmpeg, 5.1 or later" };
const FFPROBE_PATH: Setting = Setting { name: "FFPROBE_PATH", default: Some("ffprobe"), help: "ffprobe, 5.1 or later" };

/// Every setting of the worker.
pub const SETTINGS: &[Setting] = &[
    telemetry::ENV,
    telemetry::LOG_LEVEL,
    telemetry::LOG_FORMAT,
    GRPC_PORT,
    listen::BIND_ADDRESS,
    WORKER_ID,
    MAX_CONCURRENT_JOBS,
    WORK_DIR,
    STORAGE_TYPE,
    S3_BUCKET,
    S3_REGION,
    LOCAL_STORAGE_DIR,
    DISABLE_AUTO_SHUTDOWN,
    FIRST_JOB_TIMEOUT,
    SHUTDOWN_GRACE,
    ORPHAN_GRACE,
    INPUT_DIR,
    INPUT_ALLOW_LOOPBACK,
    INPUT_TIMEOUT,
    STALL_TIMEOUT,
    JOB_TIMEOUT,
    VALIDATION_LEVEL,
    VALIDATION_TIMEOUT,
    FFMPEG_PATH,
    FFPROBE_PATH,
];

/// Where results may go.
#[derive(Debug, Clone)]
pub struct Storage {
    /// Bucket for `s3`, if that is configured.
    pub bucket: Option<String>,
    /// Region of the bucket.
    pub region: String,
    /// Folder for `local`, if that is configured.
    pub directory: Option<PathBuf>,
}

/// What a worker needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// What to log.
    pub telemetry: telemetry::Config,
    /// Where the gRPC server listens.
    pub listen: Endpoint,
    /// Name in status and logs.
    pub worker_id: String,
    /// How many jobs run at once, at least 1.
    pub max_jobs: u32,
    /// Scratch space.
    pub work_dir: PathBuf,
    /// Where results may go.
    pub storage: Storage,
    /// Exit when idle.
    pub auto_shutdown: bool,
    /// How long an idle exit waits for a first job; `None` for ever.
    pub first_job_timeout: Option<Duration>,
    /// How long jobs may go on after a stop was asked for.
    pub shutdown_grace: Duration,
    /// How long a lease lasts without a renewal.
    pub orphan_grace: Duration,
    /// What inputs may be.
    pub input: input::Policy,
    /// Limits of one encode.
    pub limits: encoder::Limits,
    /// How closely results are looked at.
    pub validation: validator::Level,
    /// Longest time of one validation step.
    pub validation_timeout: Duration,
    /// Where the programs are.
    pub tools: Tools,
}

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    /// Every setting that cannot be used.
    pub fn read(env: &dyn Env) -> Result<Self, Mistakes> {
        let mut reader = Reader::new(env);
        let telemetry = telemetry::Config::read(&mut reader);
        let listen = Endpoint::read(&mut reader, &GRPC_PORT);
        let worker_id = reader.require(&WORKER_ID, env::text);
        let max_jobs = reader.require(&MAX_CONCURRENT_JOBS, max_jobs);
        let work_dir = reader.require(&WORK_DIR, absolute);
        let storage = storage(&mut reader);
        let keep_running = reader.require(&DISABLE_AUTO_SHUTDOWN, env::flag);
        let first_job_timeout = reader.optional(&FIRST_JOB_TIMEOUT, env::duration);
        let shutdown_grace = reader.require(&SHUTDOWN_GRACE, env::duration);
        let orphan_grace = reader.require(&ORPHAN_GRACE, lease);
        let input = input(&mut reader);
        let stall = reader.require(&STALL_TIMEOUT, env::duration);
        let total = reader.require(&JOB_TIMEOUT, env::duration);
        let validation = reader.require(&VALIDATION_LEVEL, env::parsed);
        let validation_timeout = reader.require(&VALIDATION_TIMEOUT, env::duration);
        let tools = tools(&mut reader);
        reader.finish(|| {
            Some(Self {
                telemetry: telemetry?,
                listen: listen?,
                worker_id: worker_id?,
                max_jobs: max_jobs?,
                work_dir: work_dir?,
                storage: storage?,
                auto_shutdown: !keep_running?,
                first_job_timeout,
                shutdown_grace: shutdown_grace?,
                orphan_grace: orphan_grace?,
                input: input?,
                limits: encoder::Limits { stall: stall?, total: total? },
                validation: validation?,
                validation_timeout: validation_timeout?,
                tools: tools?,
            })
        })
    }
}

/// Reads where the server listens, and nothing else, for the health check.
///
/// # Errors
/// When that cannot be used.
pub fn listen(env: &dyn Env) -> Result<Endpoint, Mistakes> {
    let mut reader = Reader::new(env);
    let listen = Endpoint::read(&mut reader, &GRPC_PORT);
    reader.finish(|| listen)
}

/// The wire has a signed 32-bit number.
fn max_jobs(text: &str) -> Result<u32, String> {
    env::count(text).and_then(|count| match i32::try_from(count) {
        Ok(_) => Ok(count),
        Err(_) => Err(format!("{text:?}: give a whole number below 2147483648")),
    })
}

fn lease(text: &str) -> Result<Duration, String> {
    match env::duration(text)? {
        lease if lease <= LONGEST_LEASE => Ok(lease),
        _ => Err(format!("{text:?}: give at most 1h: no control plane waits longer for a worker that it cannot reach")),
    }
}

fn absolute(text: &str) -> Result<PathBuf, String> {
    std::path::absolute(text).map_err(|error| format!("{text:?}: {error}"))
}

fn input(reader: &mut Reader<'_>) -> Option<input::Policy> {
    let directory = reader.optional(&INPUT_DIR, |text| match absolute(text)? {
        path if path.is_dir() => Ok(path),
        path => Err(format!("{}: no such folder", path.display())),
    });
    let allow_loopback = reader.require(&INPUT_ALLOW_LOOPBACK, env::flag);
    let patience = reader.require(&INPUT_TIMEOUT, env::duration);
    Some(input::Policy { allow_loopback: allow_loopback?, directory, patience: patience? })
}

fn storage(reader: &mut Reader<'_>) -> Option<Storage> {
    let bucket = reader.optional(&S3_BUCKET, env::text);
    let region = reader.require(&S3_REGION, env::text);
    let directory = reader.optional(&LOCAL_STORAGE_DIR, absolute);
    let required = reader.require(&STORAGE_TYPE, |text| match text {
        "s3" | "local" => Ok(text.to_owned()),
        _ => Err(format!("{text:?}: give s3 or local")),
    });
    match required.as_deref() {
        Some("s3") if bucket.is_none() => reader.mistake(&S3_BUCKET, "must be set when STORAGE_TYPE is s3"),
        Some("local") if directory.is_none() => {
            reader.mistake(&LOCAL_STORAGE_DIR, "must be set when STORAGE_TYPE is local");
        }
        Some(_) | None => {}
    }
    Some(Storage { bucket, region: region?, directory })
}

/// A program that is not there would only show with the first job.
fn tools(reader: &mut Reader<'_>) -> Option<Tools> {
    let ffmpeg = reader.require(&FFMPEG_PATH, program);
    let ffprobe = reader.require(&FFPROBE_PATH, program);
    Some(Tools { ffmpeg: ffmpeg?, ffprobe: ffprobe? })
}

/// Finds a program as a shell would.
fn program(text: &str) -> Result<PathBuf, String> {
    use std::os::unix::fs::PermissionsExt as _;

    let is_program =
        |path: &PathBuf| path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
    let candidates: Vec<PathBuf> = if text.contains('/') {
        vec![absolute(text)?]
    } else {
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).map(|folder| folder.join(text)).collect()
    };
    candidates
        .into_iter()
        .find(is_program)
        .ok_or_else(|| format!("{text:?}: no such program; install it or give its path"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that every machine has, so that these tests do not need ffmpeg.
    const TOOLS: [(&str, &str); 2] = [("FFMPEG_PATH", "/bin/sh"), ("FFPROBE_PATH", "sh")];

    fn read(settings: &[(&str, &str)]) -> Result<Config, Mistakes> {
        let all = TOOLS.iter().chain(settings).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::read(&all.collect::<std::collections::BTreeMap<_, _>>())
    }

    #[test]
    fn defaults_are_those_of_the_contract() {
        let config = read(&[("S3_BUCKET", "media")]).expect("enough");
        assert_eq!((config.listen.port, config.max_jobs, config.worker_id.as_str()), (50051, 2, "worker-1"));
        assert_eq!(config.work_dir, PathBuf::from("/tmp/ffmpeg-jobs"));
        assert!(config.auto_shutdown);
        assert_eq!(config.orphan_grace, Duration::from_mins(1));
        assert_eq!(config.limits.stall, Duration::from_mins(2));
        assert_eq!(config.validation_timeout, Duration::from_secs(30));
        assert_eq!(config.storage.region, "us-east-1");
    }

    #[test]
    fn the_storage_that_is_named_must_be_configured() {
        let mistakes = read(&[]).expect_err("no bucket").to_string();
        assert!(mistakes.contains("S3_BUCKET: must be set when STORAGE_TYPE is s3"), "{mistakes}");
        let mistakes = read(&[("STORAGE_TYPE", "local")]).expect_err("no folder").to_string();
        assert!(mistakes.contains("LOCAL_STORAGE_DIR: must be set"), "{mistakes}");
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let wrong = [
            ("GRPC_PORT", "70000"),
            ("MAX_CONCURRENT_JOBS", "0"),
            ("STORAGE_TYPE", "ftp"),
            ("VALIDATION_LEVEL", "lax"),
            ("FFMPEG_PATH", "no-such-ffmpeg"),
            ("INPUT_DIR", "/no/such/folder"),
            ("STALL_TIMEOUT", "soon"),
            ("ORPHAN_GRACE", "61m"),
        ];
        let Mistakes(mistakes) = read(&wrong).expect_err("all wrong");
        let mut named: Vec<_> = mistakes.iter().map(|mistake| mistake.name).collect();
        let mut expected: Vec<_> = wrong.iter().map(|(name, _)| *name).collect();
        named.sort_unstable();
        expected.sort_unstable();
        assert_eq!(named, expected);
    }

    #[test]
    fn the_auto_shutdown_is_disabled_by_true_and_1() {
        for (value, expected) in [("true", false), ("1", false), ("false", true), ("", true)] {
            let config = read(&[("S3_BUCKET", "media"), ("DISABLE_AUTO_SHUTDOWN", value)]).expect("valid");
            assert_eq!(config.auto_shutdown, expected, "{value:?}");
        }
    }
}
