//! Sends one callback, to allowed addresses only.

use std::{error::Error as _, io, sync::Arc, time::Duration};

use jiff::Timestamp;
use reqwest::{
    Client, Response, StatusCode, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{CONTENT_TYPE, RETRY_AFTER},
    redirect::Policy,
};
use service::address::{self, Forbidden};
use tokio::{net::lookup_host, time::timeout};

use super::{Config, schedule};
use crate::store::Callback;

/// Who sends callbacks.
const USER_AGENT: &str = concat!("flux-encoder/", env!("CARGO_PKG_VERSION"));

/// How much of an answer is read, so that its connection can be used again. What it says does not matter.
const MAX_ANSWER: usize = 16 * 1024;

/// How long that may take.
const ANSWER: Duration = Duration::from_secs(1);

/// What became of a try.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The receiver has it.
    Delivered,
    /// The receiver wants no more of them (410).
    Gone,
    /// Another try may work.
    Failed(Failure),
}

/// Why a try failed. None names more than the host: the rest of the URL may be secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// An answer that is no success.
    #[error("the answer was {status}")]
    Status {
        /// Which.
        status: StatusCode,
        /// The pause that the receiver asks for.
        retry_after: Option<Duration>,
    },
    /// Whoever is pointed to was not checked.
    #[error("the answer was {0}, and redirects are not followed")]
    Redirect(StatusCode),
    /// The address rules forbid the host.
    #[error("the host is {0}, which callbacks may not use")]
    Forbidden(Forbidden),
    /// No answer, or not in time.
    #[error("{0}")]
    NoAnswer(String),
}

/// Sends callbacks.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    client: Client,
    config: Config,
}

impl Sender {
    /// A sender whose tries take at most `patience`.
    pub(super) fn new(config: Config, patience: Duration) -> Result<Self, reqwest::Error> {
        let build = |builder: reqwest::ClientBuilder| {
            let resolver = Arc::new(Checked { allow_loopback: config.allow_loopback });
            // A proxy would connect to what only it has looked up; a redirect leads where nobody has looked.
            let builder = builder.no_proxy().redirect(Policy::none()).referer(false).dns_resolver(resolver);
            let builder = builder.retry(reqwest::retry::never()).user_agent(USER_AGENT).timeout(patience);
            builder.pool_max_idle_per_host(2).pool_idle_timeout(Duration::from_secs(30)).build()
        };
        crate::tls::install();
        let client = build(Client::builder()).or_else(|error| {
            tracing::warn!(%error, "no root certificates on this machine: callbacks to https URLs will fail");
            build(Client::builder().tls_certs_only([]))
        })?;
        Ok(Self { client, config })
    }

    /// Sends a callback. It takes bounded time.
    pub(super) async fn send(&self, callback: &Callback, now: Timestamp) -> Outcome {
        match self.request(callback, now).await {
            Ok(response) => judge(response, now).await,
            Err(failure) => Outcome::Failed(failure),
        }
    }

    async fn request(&self, callback: &Callback, now: Timestamp) -> Result<Response, Failure> {
        let url = Url::parse(&callback.url).map_err(|error| Failure::NoAnswer(error.to_string()))?;
        self.check_literal(&url)?;
        let id = message_id(callback);
        let seconds = now.as_second();
        let mut request = self.client.post(url).header(CONTENT_TYPE, "application/json");
        request = request.header("webhook-id", &id).header("webhook-timestamp", seconds);
        if let Some(secrets) = &self.config.secrets {
            request = request.header("webhook-signature", secrets.sign(&id, seconds, &callback.payload));
        }
        request.body(callback.payload.clone()).send().await.map_err(|error| failure(&error))
    }

    /// Addresses in the URL itself are not looked up, so the resolver does not see them.
    fn check_literal(&self, url: &Url) -> Result<(), Failure> {
        let check = |address| address::check(address, self.config.allow_loopback);
        address::literal(url).map_or(Ok(()), check).map_err(Failure::Forbidden)
    }
}

impl Failure {
    /// The pause that the receiver asks for.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::Redirect(_) | Self::Forbidden(_) | Self::NoAnswer(_) => None,
        }
    }
}

/// The name that receivers know a callback by, the same for each try.
fn message_id(callback: &Callback) -> String {
    format!("msg_{}", callback.id.0.simple())
}

async fn judge(response: Response, now: Timestamp) -> Outcome {
    let status = response.status();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|header| header.to_str().ok());
    let retry_after = retry_after.and_then(|header| schedule::retry_after(header, now));
    // Whatever it is, the answer stands already.
    let _ = timeout(ANSWER, drain(response)).await;
    if status.is_success() {
        Outcome::Delivered
    } else if status == StatusCode::GONE {
        Outcome::Gone
    } else if status.is_redirection() {
        Outcome::Failed(Failure::Redirect(status))
    } else {
        Outcome::Failed(Failure::Status { status, retry_after })
    }
}

async fn drain(mut response: Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        read += chunk.len();
        if read > MAX_ANSWER {
            return;
        }
    }
}

fn failure(error: &reqwest::Error) -> Failure {
    if error.is_timeout() {
        return Failure::NoAnswer("no answer in time".to_owned());
    }
    let mut cause = error.source();
    let mut last = "cannot be sent".to_owned();
    while let Some(inner) = cause {
        if let Some(Refused(why)) = inner.downcast_ref::<Refused>() {
            return Failure::Forbidden(*why);
        }
        last = inner.to_string();
        cause = inner.source();
    }
    Failure::NoAnswer(crate::text::clean(&last))
}

/// A name that leads to forbidden addresses only.
#[derive(Debug, thiserror::Error)]
#[error("the host is {0}")]
struct Refused(Forbidden);

/// Looks names up and leaves forbidden addresses out: what is connected to is what was checked.
#[derive(Debug)]
struct Checked {
    allow_loopback: bool,
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_loopback = self.allow_loopback;
        Box::pin(async move {
            let found: Vec<_> = lookup_host((name.as_str(), 0)).await?.collect();
            if found.is_empty() {
                return Err(io::Error::new(io::ErrorKind::NotFound, "the host has no address").into());
            }
            let allowed = address::allowed(&found, allow_loopback).map_err(Refused)?;
            Ok::<Addrs, _>(Box::new(allowed.into_iter()))
        })
    }
}
