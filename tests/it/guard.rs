//! Inputs that must not be read: this machine, its link, and files outside the folder; whatever way they are named.
//!
//! - [`addresses`] – hosts, redirects and playlists
//! - [`files`] – file URLs and output paths
//! - [`secrets`] – what the tools and the client get to see

mod addresses;
mod files;
mod secrets;

use std::net::{IpAddr, Ipv4Addr};

use e2e::{Plane, Sandbox, Worker, job};

use crate::site::{Answer, Site};

/// An address of this machine that is neither loopback nor link-local: to the guard, another host's.
fn outside_address() -> IpAddr {
    let addresses = nix::ifaddrs::getifaddrs().expect("the machine's addresses");
    let mut v4 = addresses.filter_map(|interface| Some(interface.address?.as_sockaddr_in()?.ip()));
    let found = v4.find(|ip: &Ipv4Addr| !ip.is_loopback() && !ip.is_link_local());
    found
        .map(IpAddr::V4)
        .expect("these tests need an address besides loopback; as root: ip addr add 192.0.2.1/24 dev lo")
}

/// A service that keeps all rules.
async fn service(sandbox: &Sandbox) -> (Worker, Plane) {
    let worker = sandbox.worker().env("INPUT_TIMEOUT", "2").start().await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    (worker, plane)
}

/// A server that nobody may reach.
async fn forbidden_site() -> Site {
    Site::at(Ipv4Addr::UNSPECIFIED.into(), |_| Answer::Content(b"secret".to_vec())).await
}

/// The job fails and leaves nothing; why.
async fn failure(plane: &Plane, sandbox: &Sandbox, input_url: &str) -> String {
    let error = plane.failed(&job(input_url, "480p_h264", "local", "a.mp4")).await;
    assert_eq!(sandbox.outputs(), Vec::<String>::new(), "{input_url}");
    error
}
