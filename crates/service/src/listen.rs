//! Where a server listens, and how a health check on the same machine reaches it.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::net::TcpListener;

use crate::env::{self, Reader, Setting};

/// `BIND_ADDRESS`.
pub const BIND_ADDRESS: Setting = Setting {
    name: "BIND_ADDRESS",
    default: Some("::"),
    help: "IP address to listen on; `::` means every address, IPv4 and IPv6; `127.0.0.1` this machine only",
};

/// An address and a port to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// One address, or all of them.
    pub address: IpAddr,
    /// 0 lets the system choose.
    pub port: u16,
}

impl Endpoint {
    /// Reads `BIND_ADDRESS` and the port's own setting.
    pub fn read(reader: &mut Reader<'_>, port: &Setting) -> Option<Self> {
        let address = reader.require(&BIND_ADDRESS, |text| {
            text.parse().map_err(|_| format!("{text:?}: give an IP address such as 127.0.0.1 or ::"))
        });
        let port = reader.require(port, env::port);
        Some(Self { address: address?, port: port? })
    }

    /// Listens.
    ///
    /// # Errors
    /// When the port is taken or not allowed, or the address is not this machine's. The message names both.
    pub async fn bind(self) -> io::Result<TcpListener> {
        let bound = match TcpListener::bind((self.address, self.port)).await {
            // Some machines have no IPv6 at all.
            Err(_) if self.address == Ipv6Addr::UNSPECIFIED => {
                TcpListener::bind((Ipv4Addr::UNSPECIFIED, self.port)).await
            }
            bound => bound,
        };
        bound.map_err(|error| {
            let place = if self.address.is_unspecified() { String::new() } else { format!(" of {}", self.address) };
            io::Error::new(error.kind(), format!("cannot listen on port {}{place}: {error}", self.port))
        })
    }

    /// Where a client on this machine connects to.
    #[must_use]
    pub fn from_here(self) -> SocketAddr {
        let address = match self.address {
            IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            // A socket on every address takes IPv4 too, and is all there is where there is no IPv6.
            IpAddr::V6(v6) if v6.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            address => address,
        };
        SocketAddr::new(address, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_on_this_machine_reaches_every_kind_of_endpoint() {
        for address in ["::", "0.0.0.0", "127.0.0.1", "127.0.0.2"] {
            let endpoint = Endpoint { address: address.parse().expect("an address"), port: 0 };
            let listener = endpoint.bind().await.expect("binds");
            let bound = Endpoint { port: listener.local_addr().expect("is bound").port(), ..endpoint };
            assert!(tokio::net::TcpStream::connect(bound.from_here()).await.is_ok(), "{address}");
        }
    }

    #[tokio::test]
    async fn loopback_alone_is_not_reached_from_elsewhere() {
        let endpoint = Endpoint { address: Ipv4Addr::LOCALHOST.into(), port: 0 };
        let port = endpoint.bind().await.and_then(|listener| listener.local_addr()).expect("binds").port();
        assert!(tokio::net::TcpStream::connect(("127.0.0.2", port)).await.is_err());
    }

    #[test]
    fn an_address_that_is_none_is_a_mistake() {
        const PORT: Setting = Setting { name: "PORT", default: Some("8080"), help: "" };
        let env = [("BIND_ADDRESS", "localhost")];
        let mut reader = Reader::new(&env);
        let endpoint = Endpoint::read(&mut reader, &PORT);
        assert!(reader.finish(|| endpoint).is_err_and(|mistakes| mistakes.0[0].name == "BIND_ADDRESS"));
    }
}
