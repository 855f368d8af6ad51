//! An S3 server under test, and a client of it: the real AWS SDK.

use std::path::PathBuf;

use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Config, Credentials, Region},
};
use aws_smithy_http_client::{
    Builder as HttpBuilder,
    tls::{Provider, rustls_provider::CryptoMode},
};

use crate::{daemon::Daemon, worker::WorkerBuilder};

/// The bucket that is there.
pub const BUCKET: &str = "media";
/// The access key that is known.
pub const ACCESS_KEY: &str = "test-access-key";
/// Its secret.
pub const SECRET_KEY: &str = "test-secret-key";

/// A running S3 server.
#[derive(Debug)]
pub struct S3Server {
    /// Its process.
    pub daemon: Daemon,
    /// Where it keeps its buckets.
    pub folder: PathBuf,
}

impl S3Server {
    /// Its URL.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.daemon.address())
    }

    /// A client that may do everything.
    #[must_use]
    pub fn client(&self) -> Client {
        let http = HttpBuilder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(self.endpoint())
            .credentials_provider(Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "test"))
            .force_path_style(true)
            .http_client(http)
            .build();
        Client::from_conf(config)
    }

    /// Keys of the objects in the bucket.
    pub async fn keys(&self) -> Vec<String> {
        let listed = self.client().list_objects_v2().bucket(BUCKET).send().await.expect("a listing");
        listed.contents().iter().filter_map(|object| object.key().map(str::to_owned)).collect()
    }

    /// What the server keeps of unfinished multipart uploads.
    #[must_use]
    pub fn unfinished(&self) -> Vec<String> {
        // It cannot list them over the wire.
        let mut names = crate::sandbox::files(&self.folder);
        names.retain(|name| name.starts_with(".upload"));
        names
    }
}

impl WorkerBuilder {
    /// Gives the worker this server, under these credentials.
    #[must_use]
    pub fn s3(self, endpoint: &str, access_key: &str, secret_key: &str) -> Self {
        self.env("S3_BUCKET", BUCKET)
            .env("AWS_ENDPOINT_URL", endpoint)
            .env("AWS_ACCESS_KEY_ID", access_key)
            .env("AWS_SECRET_ACCESS_KEY", secret_key)
    }

    /// Gives the worker this server and no credentials, as on a machine without a metadata service.
    #[must_use]
    pub fn s3_without_credentials(self, endpoint: &str) -> Self {
        let worker = self.env("S3_BUCKET", BUCKET).env("AWS_ENDPOINT_URL", endpoint);
        worker.env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", "/nonexistent")
    }
}
