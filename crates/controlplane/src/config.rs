//! Settings of the control plane.

use std::{path::PathBuf, time::Duration};

use secrecy::SecretString;
use service::{
    env::{self, Env, Mistakes, Reader, Setting},
    listen::{self, Endpoint},
    telemetry,
};

use crate::{balancer::Address, job::spec::Split, limits::Limits, store::Database, webhook};

const PORT: Setting = Setting { name: "PORT", default: Some("8080"), help: "port of the HTTP server" };
const WORKER_NODES: Setting = Setting {
    name: "WORKER_NODES",
    default: None,
    help: "required; addresses of the workers, such as `worker-1:50051,worker-2:50051`",
};
const WORKER_STARTUP_TIMEOUT: Setting = Setting {
    name: "WORKER_STARTUP_TIMEOUT",
    default: Some("60"),
    help: "how long a sleeping worker may take to answer; seconds, or a time such as 90s or 2m",
};
const API_KEY: Setting = Setting {
    name: "API_KEY",
    default: None,
    help: "key that clients send as `Authorization: Bearer <key>`; without it, every route is open",
};
const DATABASE_URL: Setting = Setting {
    name: "DATABASE_URL",
    default: Some("sqlite://flux.db"),
    help: "where jobs are kept: `sqlite://FILE` (relative to DATA_DIR), `postgres://…`, or `memory:` for no longer than \
           the process",
};
const DATA_DIR: Setting =
    Setting { name: "DATA_DIR", default: Some("data"), help: "folder of the SQLite file; made if it is not there" };
const MAX_QUEUED_JOBS: Setting = Setting {
    name: "MAX_QUEUED_JOBS",
    default: Some("0"),
    help: "how many jobs may wait for a worker; 0: a job is accepted only when a worker takes it at once",
};
const JOB_MAX_ATTEMPTS: Setting = Setting {
    name: "JOB_MAX_ATTEMPTS",
    default: Some("3"),
    help: "how many tries at a job may fail by the machine's fault before the job fails",
};
const JOB_RETENTION: Setting = Setting {
    name: "JOB_RETENTION",
    default: Some("7d"),
    help: "how long finished jobs are kept; seconds, or a time such as 12h or 7d",
};
const SPLIT: Setting = Setting {
    name: "SPLIT",
    default: Some("auto"),
    help: "auto or off: whether jobs that do not say may be encoded by several workers at a time",
};
const SPLIT_CHUNK_SECONDS: Setting = Setting {
    name: "SPLIT_CHUNK_SECONDS",
    default: Some("24"),
    help: "about how long a chunk of a split job is at most, in seconds of video: 0.1 to 3600; shorter than two is not split",
};
const WEBHOOK_SECRET: Setting = Setting {
    name: "WEBHOOK_SECRET",
    default: None,
    help: "signs callbacks as Standard Webhooks has it: `whsec_<base64>`, several separated by spaces while one replaces \
           another; without it they are not signed",
};
const INPUT_ALLOW_LOOPBACK: Setting = Setting {
    name: "INPUT_ALLOW_LOOPBACK",
    default: Some("false"),
    help: "true or 1: callbacks may go to this machine's own addresses; never to link-local or metadata addresses",
};
const SHUTDOWN_GRACE: Setting = Setting {
    name: "SHUTDOWN_GRACE",
    default: Some("30"),
    help: "how long jobs are followed after SIGTERM that no other process could go on with: those on workers of an older \
           release, and all with DATABASE_URL=memory:; seconds, or a time such as 90s or 15m",
};

/// Every variable that the control plane reads.
pub const SETTINGS: &[Setting] = &[
    telemetry::ENV,
    PORT,
    listen::BIND_ADDRESS,
    WORKER_NODES,
    WORKER_STARTUP_TIMEOUT,
    API_KEY,
    DATABASE_URL,
    DATA_DIR,
    MAX_QUEUED_JOBS,
    JOB_MAX_ATTEMPTS,
    JOB_RETENTION,
    SPLIT,
    SPLIT_CHUNK_SECONDS,
    WEBHOOK_SECRET,
    INPUT_ALLOW_LOOPBACK,
    SHUTDOWN_GRACE,
    telemetry::LOG_LEVEL,
    telemetry::LOG_FORMAT,
];

/// The settings, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// `BIND_ADDRESS` (every one) and `PORT` (8080).
    pub listen: Endpoint,
    /// `WORKER_NODES`; never empty.
    pub workers: Vec<Address>,
    /// `WORKER_STARTUP_TIMEOUT` (60 s).
    pub startup_timeout: Duration,
    /// `API_KEY`; `None` leaves every route open.
    pub api_key: Option<SecretString>,
    /// `DATABASE_URL` (`sqlite://flux.db`), in `DATA_DIR` (`data`).
    pub database: Database,
    /// `MAX_QUEUED_JOBS` (0: no queue).
    pub max_queued_jobs: u64,
    /// `JOB_MAX_ATTEMPTS` (3), at least 1.
    pub job_max_attempts: u32,
    /// `JOB_RETENTION` (7 days).
    pub job_retention: Duration,
    /// `SPLIT` (auto).
    pub split: Split,
    /// `SPLIT_CHUNK_SECONDS` (24), 0.1 to 3600.
    pub split_chunk_seconds: f64,
    /// `WEBHOOK_SECRET` and `INPUT_ALLOW_LOOPBACK`.
    pub webhook: webhook::Config,
    /// `SHUTDOWN_GRACE` (30 s).
    pub shutdown_grace: Duration,
    /// `ENV`, `LOG_LEVEL` and `LOG_FORMAT`.
    pub telemetry: telemetry::Config,
    /// No setting: fixed in service, shorter in tests.
    pub limits: Limits,
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// Every setting that cannot be used.
    pub fn read(env: &dyn Env) -> Result<Self, Mistakes> {
        let mut reader = Reader::new(env);
        let telemetry = telemetry::Config::read(&mut reader);
        let listen = Endpoint::read(&mut reader, &PORT);
        let workers = reader.require(&WORKER_NODES, addresses);
        let startup_timeout = reader.require(&WORKER_STARTUP_TIMEOUT, env::duration);
        let api_key = reader.secret(&API_KEY, env::secret);
        let data_dir = reader.require(&DATA_DIR, env::parsed::<PathBuf>).unwrap_or_default();
        let database = reader.require(&DATABASE_URL, |url| Database::parse(url, &data_dir));
        let max_queued_jobs = reader.require(&MAX_QUEUED_JOBS, whole_number);
        let job_max_attempts = reader.require(&JOB_MAX_ATTEMPTS, env::count);
        let job_retention = reader.require(&JOB_RETENTION, env::duration);
        let split = reader.require(&SPLIT, |text| text.parse().map_err(|reason| format!("{text:?}: {reason}")));
        let split_chunk_seconds = reader.require(&SPLIT_CHUNK_SECONDS, chunk_seconds);
        let webhook = read_webhook(&mut reader);
        let shutdown_grace = reader.require(&SHUTDOWN_GRACE, env::duration);
        reader.finish(|| {
            Some(Self {
                listen: listen?,
                workers: workers?,
                startup_timeout: startup_timeout?,
                api_key,
                database: database?,
                max_queued_jobs: max_queued_jobs?,
                job_max_attempts: job_max_attempts?,
                job_retention: job_retention?,
                split: split?,
                split_chunk_seconds: split_chunk_seconds?,
                webhook: webhook?,
                shutdown_grace: shutdown_grace?,
                telemetry: telemetry?,
                limits: Limits::default(),
            })
        })
    }
}

/// Reads `BIND_ADDRESS` and `PORT` alone, for the health check.
///
/// # Errors
/// When they cannot be used.
pub fn listen(env: &dyn Env) -> Result<Endpoint, Mistakes> {
    let mut reader = Reader::new(env);
    let listen = Endpoint::read(&mut reader, &PORT);
    reader.finish(|| listen)
}

fn read_webhook(reader: &mut Reader<'_>) -> Option<webhook::Config> {
    let secrets = reader.secret(&WEBHOOK_SECRET, webhook::Secrets::parse);
    let allow_loopback = reader.require(&INPUT_ALLOW_LOOPBACK, env::flag);
    Some(webhook::Config { secrets, allow_loopback: allow_loopback? })
}

fn whole_number(text: &str) -> Result<u64, String> {
    // What a database counts with is signed.
    let number = text.parse::<u64>().ok().filter(|number| i64::try_from(*number).is_ok());
    number.ok_or_else(|| format!("{text:?}: give a whole number, 0 or more"))
}

fn chunk_seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.1..=3600.0).contains(seconds));
    seconds.ok_or_else(|| format!("{text:?}: give seconds, 0.1 to 3600"))
}

fn addresses(text: &str) -> Result<Vec<Address>, String> {
    let addresses = text.split(',').map(str::trim).filter(|address| !address.is_empty());
    let mut mistakes = Vec::new();
    let addresses = addresses.map(|address| address.parse().map_err(|error| format!("{address:?}: {error}")));
    let addresses: Vec<_> =
        addresses.filter_map(|address| address.map_err(|reason| mistakes.push(reason)).ok()).collect();
    if !mistakes.is_empty() {
        return Err(mistakes.join("; "));
    }
    if addresses.is_empty() { Err("must name a worker".to_owned()) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::Path};

    use super::*;

    #[test]
    fn every_mistake_is_told_at_once() {
        let env = [
            ("PORT", "99999"),
            ("WORKER_NODES", "localhost"),
            ("WORKER_STARTUP_TIMEOUT", "soon"),
            ("DATABASE_URL", "mysql://user:hunter2@host/db"),
            ("MAX_QUEUED_JOBS", "-1"),
            ("JOB_MAX_ATTEMPTS", "0"),
            ("JOB_RETENTION", "forever"),
            ("SPLIT", "always"),
            ("SPLIT_CHUNK_SECONDS", "0.05"),
            ("WEBHOOK_SECRET", "hunter2"),
            ("INPUT_ALLOW_LOOPBACK", "maybe"),
            ("SHUTDOWN_GRACE", "0"),
            ("LOG_FORMAT", "xml"),
        ];
        let mistakes = Config::read(&env).expect_err("all are wrong");
        let names: Vec<_> = mistakes.0.iter().map(|mistake| mistake.name).collect();
        let mut expected = env.map(|(name, _)| name);
        // How to log is read first.
        expected.rotate_right(1);
        assert_eq!(names, expected);
        let text = mistakes.to_string();
        assert!(!text.contains("hunter2"), "{text}");
        assert!(
            text.contains("WORKER_NODES: \"localhost\": must end with a port from 1 to 65535, such as host:50051"),
            "{text}"
        );
    }

    #[test]
    fn workers_must_be_named() {
        for env in [[("WORKER_NODES", "")], [("WORKER_NODES", " , ")]] {
            assert_eq!(Config::read(&env).expect_err("no worker").0[0].name, "WORKER_NODES");
        }
    }

    #[test]
    fn all_that_are_no_workers_are_named() {
        let mistakes = Config::read(&[("WORKER_NODES", "a:0,b:1,https://c:1")]).expect_err("two are wrong");
        let text = mistakes.to_string();
        assert!(text.contains("\"a:0\": must end with a port from 1 to 65535"), "{text}");
        assert!(text.contains("; \"https://c:1\": must be host:port"), "{text}");
        assert!(!text.contains("\"b:1\""), "{text}");
    }

    #[test]
    fn a_blank_secret_is_not_taken_for_none() {
        for name in ["API_KEY", "WEBHOOK_SECRET"] {
            let mistakes = Config::read(&[("WORKER_NODES", "a:1"), (name, " ")]).expect_err("no secret");
            assert_eq!(mistakes.0[0].name, name);
        }
    }

    #[test]
    fn defaults_are_those_of_the_contract() {
        let env = BTreeMap::from([("WORKER_NODES".to_owned(), "a:1, http://b:2".to_owned())]);
        let config = Config::read(&env).expect("all else has a default");
        assert_eq!((config.listen.port, config.startup_timeout), (8080, Duration::from_mins(1)));
        assert_eq!(config.workers.iter().map(Address::to_string).collect::<Vec<_>>(), ["a:1", "b:2"]);
        assert!(config.api_key.is_none() && config.webhook.secrets.is_none() && !config.webhook.allow_loopback);
        assert!(matches!(config.database, Database::File(path) if path == Path::new("data/flux.db")));
        assert_eq!((config.max_queued_jobs, config.job_max_attempts), (0, 3));
        assert_eq!(config.job_retention, Duration::from_hours(7 * 24));
        assert_eq!((config.split, config.split_chunk_seconds), (Split::Auto, 24.0));
    }

    #[test]
    fn secrets_do_not_show() {
        let env = [
            ("WORKER_NODES", "a:1"),
            ("API_KEY", "hunter2"),
            ("DATABASE_URL", "postgres://flux:hunter2@db/flux"),
            ("WEBHOOK_SECRET", "whsec_hunter2Ahunter2Ahunter2Ahunter2A"),
        ];
        let config = Config::read(&env).expect("a good configuration");
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn the_settings_are_described() {
        insta::assert_snapshot!(service::cli::help(SETTINGS));
    }
}
