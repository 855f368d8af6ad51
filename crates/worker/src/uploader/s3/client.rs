//! The connection to S3, with or without a bucket of one's own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use aws_config::{BehaviorVersion, Region, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_s3::{
    Client,
    config::{self, Credentials, IdentityCache, StalledStreamProtectionConfig},
    error::{ProvideErrorMetadata as _, SdkError},
    presigning::PresigningConfig,
};
use aws_smithy_http_client::{
    Builder as HttpBuilder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use tokio::{
    sync::OnceCell,
    time::{sleep, timeout},
};
use url::Url;

use super::{Error, cause};
use crate::{failure::Blame, uploader::journal::Upload};

/// How often an upload is aborted at most. S3 says that once may not be enough while parts are under way.
const ABORTS: u32 = 3;

/// Pause between two of them.
const ABORT_PAUSE: Duration = Duration::from_millis(200);

/// The slowest upload that is waited for, in bytes a second and request.
const MIN_RATE: u64 = 128 * 1024;

/// How the client is set up. What is `None` comes from the usual AWS variables and files.
#[derive(Debug, Clone)]
pub(crate) struct S3Settings {
    /// Region of the buckets.
    pub(crate) region: String,
    /// Where the server is, such as `http://localhost:9000`.
    pub(crate) endpoint: Option<Url>,
    /// Access key and secret key.
    pub(crate) credentials: Option<Credentials>,
    /// Time limits.
    pub(crate) timing: Timing,
}

/// The time limits of S3 requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// Until a connection stands.
    pub(crate) connect: Duration,
    /// Until a request without a body is answered; one with a body has more, by its size.
    pub(crate) answer: Duration,
    /// How long a body may stand still.
    pub(crate) stall: Duration,
    /// Pause before the second of three tries; doubles for the third.
    pub(crate) backoff: Duration,
    /// What a request that is under way has left after a cancellation.
    pub(crate) grace: Duration,
    /// For deleting objects, and for aborting one upload.
    pub(crate) clean_up: Duration,
    /// For finding credentials, which may mean to ask the machine's metadata service.
    pub(crate) credentials: Duration,
    /// For finding out that there are none, while a client waits for its job to be taken.
    pub(crate) no_credentials: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(30),
            stall: Duration::from_secs(20),
            backoff: Duration::from_secs(1),
            grace: Duration::from_secs(2),
            clean_up: Duration::from_secs(15),
            credentials: Duration::from_secs(5),
            no_credentials: Duration::from_secs(3),
        }
    }
}

impl Timing {
    /// How long after its lease a task may still take back what it has published: the clean-up, and what a timer may be
    /// late.
    pub(crate) fn margin(&self) -> Duration {
        self.clean_up + Duration::from_secs(1)
    }
}

/// How the abortion of an upload ended. In each case there is nothing left to do for this worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aborted {
    /// It was unfinished.
    Unfinished,
    /// It was complete or aborted before.
    NoSuchUpload,
    /// S3 does not say: some servers refuse access to what is not there, or a permission is missing. It is warned of.
    Denied,
}

/// A client for any bucket. It is set up at its first use, so making one costs nothing and asks nobody.
#[derive(Debug, Clone)]
pub(crate) struct S3Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: S3Settings,
    client: OnceCell<Client>,
    /// Whether there ever were credentials.
    had_credentials: AtomicBool,
}

impl S3Client {
    /// A client that is not set up yet.
    pub(crate) fn new(settings: S3Settings) -> Self {
        Self { inner: Arc::new(Inner { settings, client: OnceCell::new(), had_credentials: AtomicBool::new(false) }) }
    }

    /// A URL by which anybody can read an object for a while. Sends nothing to S3.
    ///
    /// # Errors
    /// When there are no credentials.
    pub(crate) async fn presign_get(&self, bucket: &str, key: &str, expires: Duration) -> Result<Url, Error> {
        let failed = |cause: String| Error::S3 {
            operation: "sign the way to",
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            cause,
            blame: Blame::Infrastructure,
        };
        let config = PresigningConfig::expires_in(expires).map_err(|error| failed(error.to_string()))?;
        let request = self.get().await.get_object().bucket(bucket).key(key).presigned(config).await;
        let request = request.map_err(|error| cause::error("sign the way to", bucket, key, &error))?;
        Url::parse(request.uri()).map_err(|error| failed(error.to_string()))
    }

    /// The entity tag of an object: another version has another (RFC 9110, section 8.8.3). `None` where it has none, or who
    /// asks may not know.
    ///
    /// # Errors
    /// When that cannot be found out now.
    pub(crate) async fn etag(&self, bucket: &str, key: &str) -> Result<Option<String>, Error> {
        match self.get().await.head_object().bucket(bucket).key(key).send().await {
            Ok(head) => Ok(head.e_tag().map(str::to_owned)),
            Err(SdkError::ServiceError(error)) if matches!(error.raw().status().as_u16(), 403 | 404) => Ok(None),
            Err(error) => Err(cause::error("look at", bucket, key, &error)),
        }
    }

    /// False when it is certain that there are no credentials, and never were. What else may be wrong with them shows when
    /// they are used. Sends nothing to S3, but a machine's metadata service may be asked.
    pub(crate) async fn may_have_credentials(&self) -> bool {
        let had = &self.inner.had_credentials;
        let Ok(moment) = PresigningConfig::expires_in(Duration::from_secs(1)) else { return true };
        // A service that gave some before and is away now will be back.
        if had.load(Ordering::Relaxed) {
            return true;
        }
        let signature = async { self.get().await.get_object().bucket("any").key("any").presigned(moment).await };
        let Ok(signed) = timeout(self.timing().no_credentials, signature).await else { return true };
        had.fetch_or(signed.is_ok(), Ordering::Relaxed);
        !signed.is_err_and(|error| cause::lacks_credentials(&error))
    }

    /// Aborts the upload that a dead worker noted.
    ///
    /// # Errors
    /// When S3 cannot be reached or did not answer in time.
    pub(crate) async fn abort_journal(&self, upload: &Upload) -> Result<Aborted, Error> {
        self.abort(upload).await
    }

    /// Aborts an upload until S3 knows it no more. Says what the first answer was.
    pub(super) async fn abort(&self, upload: &Upload) -> Result<Aborted, Error> {
        let abort = async {
            let first = self.abort_once(upload).await?;
            let mut last = first;
            for _ in 1..ABORTS {
                if last != Aborted::Unfinished {
                    break;
                }
                sleep(ABORT_PAUSE).await;
                last = self.abort_once(upload).await?;
            }
            if first == Aborted::Denied {
                warn_of_denial(upload);
            }
            Ok(first)
        };
        let late = || Error::S3 {
            operation: "abort upload to",
            bucket: upload.bucket.clone(),
            key: upload.key.clone(),
            cause: format!("no answer within {} s", self.timing().clean_up.as_secs_f64()),
            blame: Blame::Infrastructure,
        };
        timeout(self.timing().clean_up, abort).await.unwrap_or_else(|_| Err(late()))
    }

    async fn abort_once(&self, Upload { bucket, key, id }: &Upload) -> Result<Aborted, Error> {
        let request = self.get().await.abort_multipart_upload().bucket(bucket).key(key).upload_id(id);
        let answer = request.customize().config_override(self.patience(0)).send().await;
        match answer.as_ref().map_err(|error| error.as_service_error().and_then(|error| error.code())) {
            Ok(_) => Ok(Aborted::Unfinished),
            Err(Some("NoSuchUpload" | "NoSuchBucket")) => Ok(Aborted::NoSuchUpload),
            Err(Some("AccessDenied")) => Ok(Aborted::Denied),
            Err(Some(_) | None) => {
                let error: SdkError<_, _> = answer.err().unwrap_or_else(|| SdkError::timeout_error("no answer"));
                Err(cause::error("abort upload to", bucket, key, &error))
            }
        }
    }

    pub(super) fn timing(&self) -> &Timing {
        &self.inner.settings.timing
    }

    /// How long one try of a request with a body of so many bytes may take.
    pub(super) fn patience(&self, bytes: u64) -> config::Builder {
        let limit = self.timing().answer + Duration::from_secs(bytes / MIN_RATE);
        config::Config::builder().timeout_config(TimeoutConfig::builder().operation_attempt_timeout(limit).build())
    }

    pub(super) async fn get(&self) -> &Client {
        self.inner.client.get_or_init(|| set_up(&self.inner.settings)).await
    }
}

/// Says what an operator can do. Trying again would not help, and on a server that refuses access to what is not there
/// would never end.
fn warn_of_denial(Upload { bucket, key, id }: &Upload) {
    tracing::warn!(
        s3.bucket = bucket,
        s3.key = key,
        s3.upload_id = id,
        "aborting a multipart upload was denied: its parts may stay, if s3:AbortMultipartUpload is not granted"
    );
}

async fn set_up(settings: &S3Settings) -> Client {
    let timing = settings.timing;
    let https = HttpBuilder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(settings.region.clone()))
        .http_client(https)
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(3)
                .with_initial_backoff(timing.backoff)
                .with_max_backoff(Duration::from_secs(30)),
        )
        .timeout_config(
            TimeoutConfig::builder().connect_timeout(timing.connect).operation_attempt_timeout(timing.answer).build(),
        )
        .stalled_stream_protection(StalledStreamProtectionConfig::enabled().grace_period(timing.stall).build())
        .identity_cache(IdentityCache::lazy().load_timeout(timing.credentials).build());
    if let Some(endpoint) = &settings.endpoint {
        loader = loader.endpoint_url(endpoint.as_str());
    }
    if let Some(credentials) = &settings.credentials {
        loader = loader.credentials_provider(credentials.clone());
    }
    let shared = loader.load().await;
    // Servers of one's own rarely have a DNS name a bucket.
    let own_server = shared.endpoint_url().is_some() || std::env::var_os("AWS_ENDPOINT_URL_S3").is_some();
    Client::from_conf(config::Builder::from(&shared).force_path_style(own_server).build())
}
