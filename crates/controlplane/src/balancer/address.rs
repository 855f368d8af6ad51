//! Where a worker listens: `host:port` or `http://host:port`.

use std::{fmt, str::FromStr};

use url::Url;

/// Where a worker listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address(String);

/// Why a text is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// TLS to workers does not exist.
    #[error("must be host:port or http://host:port")]
    Scheme,
    /// No port, or none between 1 and 65535.
    #[error("must end with a port from 1 to 65535, such as host:50051")]
    Port,
    /// No host, or one with characters that no host has.
    #[error("must name a host")]
    Host,
}

impl Address {
    /// The address as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.0)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let authority = text.strip_prefix("http://").unwrap_or(text);
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        if authority.contains("://") {
            return Err(Error::Scheme);
        }
        let (host, port) = authority.rsplit_once(':').ok_or(Error::Port)?;
        if !port.bytes().all(|byte| byte.is_ascii_digit()) || port.parse::<u16>().unwrap_or(0) == 0 {
            return Err(Error::Port);
        }
        if !is_host(host) {
            return Err(Error::Host);
        }
        Ok(Self(authority.to_owned()))
    }
}

fn is_host(host: &str) -> bool {
    // What the parser takes for a path, a query or a user would make another address of it.
    let plain = !host.contains(['/', '\\', '?', '#', '@', ' ']);
    plain && Url::parse(&format!("http://{host}")).is_ok_and(|url| url.port().is_none() && url.host_str().is_some())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("localhost:50051", "localhost:50051")]
    #[case("http://worker-1.internal:80", "worker-1.internal:80")]
    #[case("http://10.0.0.1:50051/", "10.0.0.1:50051")]
    #[case("[fdaa::3]:50051", "[fdaa::3]:50051")]
    fn hosts_with_a_port_are_addresses(#[case] text: &str, #[case] address: &str) {
        let parsed: Address = text.parse().expect("an address");
        assert_eq!((parsed.to_string(), parsed.url()), (address.to_owned(), format!("http://{address}")));
    }

    #[rstest]
    #[case("", Error::Port)]
    #[case("localhost", Error::Port)]
    #[case("localhost:", Error::Port)]
    #[case("localhost:0", Error::Port)]
    #[case("localhost:65536", Error::Port)]
    #[case("localhost:50051/path", Error::Port)]
    #[case("https://localhost:50051", Error::Scheme)]
    #[case(":50051", Error::Host)]
    #[case("fdaa::3:50051", Error::Host)]
    #[case("user@host:50051", Error::Host)]
    #[case("a b:50051", Error::Host)]
    fn the_rest_is_refused(#[case] text: &str, #[case] error: Error) {
        assert_eq!(text.parse::<Address>(), Err(error));
    }
}
