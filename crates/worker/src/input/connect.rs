//! Connects to a host under the address rules: resolve, check, and connect to what was checked.

use std::{net::SocketAddr, time::Duration};

use hyper::{Uri, http::uri::Scheme};
use service::address::{self, Forbidden};
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

/// What an input may connect to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    /// Loopback is open.
    pub(crate) allow_loopback: bool,
    /// Host and port that the operator configured (the S3 server), open wherever it is.
    pub(crate) trusted: Option<(String, u16)>,
}

/// Why there is no connection. Each names the host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// The rules forbid it.
    #[error("{host} is {why}, which inputs may not use")]
    Forbidden {
        /// As the URL names it.
        host: String,
        /// Kind of address.
        why: Forbidden,
    },
    /// The name has no address.
    #[error("host {0} cannot be found")]
    Unknown(String),
    /// Nobody there.
    #[error("cannot connect to {0}: {1}")]
    Unreachable(String, String),
    /// Nobody who can be trusted, or nobody who speaks TLS.
    #[error("no trusted TLS connection to {0}: {1}")]
    Tls(String, String),
    /// Neither yes nor no.
    #[error("{0} does not answer")]
    TimedOut(String),
}

/// The host that a URL names, without the brackets of an IPv6 address.
pub(super) fn host(uri: &Uri) -> String {
    uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned()
}

impl Rules {
    /// Connects to the host that `uri` names. `patience` bounds the look-up, and all tries.
    pub(crate) async fn connect(&self, uri: &Uri, patience: Duration) -> Result<TcpStream, Error> {
        let host = host(uri);
        let mut last = Error::Unknown(host.clone());
        let addresses = self.resolve(uri, patience).await?;
        // So that the last one has its turn while somebody still waits.
        let each = patience / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        for address in addresses {
            match timeout(each, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // Latency matters more than a few headers' worth of small packets.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(error)) => last = Error::Unreachable(host.clone(), error.to_string()),
                Err(_) => last = Error::TimedOut(host.clone()),
            }
        }
        Err(last)
    }

    /// The addresses of the host that `uri` names.
    pub(crate) async fn resolve(&self, uri: &Uri, patience: Duration) -> Result<Vec<SocketAddr>, Error> {
        let host = host(uri);
        let usual = if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(usual);
        let found: Vec<_> = match timeout(patience, lookup_host((host.as_str(), port))).await {
            Ok(Ok(found)) => found.collect(),
            Ok(Err(_)) => return Err(Error::Unknown(host.clone())),
            Err(_) => return Err(Error::TimedOut(host.clone())),
        };
        self.allowed(&host, port, &found)
    }

    fn trusts(&self, host: &str, port: u16) -> bool {
        self.trusted.as_ref().is_some_and(|(trusted, at)| trusted == host && *at == port)
    }

    fn allowed(&self, host: &str, port: u16, found: &[SocketAddr]) -> Result<Vec<SocketAddr>, Error> {
        if self.trusts(host, port) {
            return Ok(found.to_vec());
        }
        address::allowed(found, self.allow_loopback).map_err(|why| Error::Forbidden { host: host.to_owned(), why })
    }
}
