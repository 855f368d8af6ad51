//! Which addresses a URL of a client may lead to. Pure.
//!
//! A client chooses where an input comes from and where a callback goes, so without this rule it could reach whatever
//! the process can: the machine's own services, or the cloud's metadata service with its credentials. Private ranges
//! stay open, since self-hosted sources and receivers live there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use url::{Host, Url};

/// Why an address is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// This machine (RFC 1122 section 3.2.1.3, RFC 4291 section 2.5.3).
    #[error("a loopback address")]
    Loopback,
    /// This link (RFC 3927, RFC 4291 section 2.5.6): where clouds keep their metadata services.
    #[error("a link-local address")]
    LinkLocal,
    /// A cloud's metadata service outside the link-local range.
    #[error("a cloud metadata address")]
    Metadata,
    /// Not the address of one host.
    #[error("not the address of a host")]
    NotAHost,
}

/// Google's metadata service over IPv6, Alibaba's and Azure's over IPv4.
const METADATA: [IpAddr; 3] = [
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
];

/// Whether a client may name `address`. Only loopback can be allowed by the operator.
///
/// # Errors
/// The kind of address, where it may not.
pub fn check(address: IpAddr, allow_loopback: bool) -> Result<(), Forbidden> {
    let address = embedded_v4(address).map_or(address, IpAddr::V4);
    match class(address) {
        Some(Forbidden::Loopback) if allow_loopback => Ok(()),
        Some(forbidden) => Err(forbidden),
        None => Ok(()),
    }
}

/// Of the addresses that a name was found to have, those that a client may name.
///
/// # Errors
/// What is wrong with the first one, where there are some and all are forbidden.
pub fn allowed(found: &[SocketAddr], allow_loopback: bool) -> Result<Vec<SocketAddr>, Forbidden> {
    let check = |address: &SocketAddr| check(address.ip(), allow_loopback);
    let allowed: Vec<_> = found.iter().copied().filter(|address| check(address).is_ok()).collect();
    match found.iter().find_map(|address| check(address).err()) {
        Some(why) if allowed.is_empty() => Err(why),
        Some(_) | None => Ok(allowed),
    }
}

/// The address that stands in the URL instead of a name.
#[must_use]
pub fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(v4) => Some(v4.into()),
        Host::Ipv6(v6) => Some(v6.into()),
        Host::Domain(_) => None,
    }
}

fn class(address: IpAddr) -> Option<Forbidden> {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast() || v4.octets()[0] >= 240);
    // Linux takes a connection to 0.0.0.0 or :: as one to itself.
    if address.is_loopback() || address.is_unspecified() || matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 0) {
        Some(Forbidden::Loopback)
    } else if METADATA.contains(&address) || is_aws_service(address) {
        Some(Forbidden::Metadata)
    } else if link_local {
        Some(Forbidden::LinkLocal)
    } else if address.is_multicast() || broadcast {
        Some(Forbidden::NotAHost)
    } else {
        None
    }
}

/// Where AWS keeps its metadata, pod identity and other link services over IPv6: `fd00:ec2::/32`.
fn is_aws_service(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.segments()[..2] == [0xfd00, 0xec2])
}

/// The IPv4 address that an IPv6 address leads to: mapped and compatible (RFC 4291), translated (RFC 7915),
/// NAT64 (RFC 6052, RFC 8215), 6to4 (RFC 3056).
fn embedded_v4(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = address else { return None };
    let from = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => from(high, low),
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x64, 0xff9b, 1, _, _, _, high, low]
        | [0x2002, high, low, ..] => from(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("127.0.0.1", Forbidden::Loopback)]
    #[case("127.255.0.9", Forbidden::Loopback)]
    #[case("0.0.0.0", Forbidden::Loopback)]
    #[case("0.1.2.3", Forbidden::Loopback)]
    #[case("::1", Forbidden::Loopback)]
    #[case("::", Forbidden::Loopback)]
    #[case("::ffff:127.0.0.1", Forbidden::Loopback)]
    #[case("::127.0.0.1", Forbidden::Loopback)]
    #[case("64:ff9b::7f00:1", Forbidden::Loopback)]
    #[case("2002:7f00:1::", Forbidden::Loopback)]
    #[case("169.254.169.254", Forbidden::LinkLocal)]
    #[case("::ffff:169.254.169.254", Forbidden::LinkLocal)]
    #[case("fe80::1", Forbidden::LinkLocal)]
    #[case("fd00:ec2::254", Forbidden::Metadata)]
    #[case("fd00:ec2::23", Forbidden::Metadata)]
    #[case("fd20:ce::254", Forbidden::Metadata)]
    #[case("::ffff:0:127.0.0.1", Forbidden::Loopback)]
    #[case("64:ff9b:1::7f00:1", Forbidden::Loopback)]
    #[case("168.63.129.16", Forbidden::Metadata)]
    #[case("224.0.0.1", Forbidden::NotAHost)]
    #[case("ff02::1", Forbidden::NotAHost)]
    #[case("255.255.255.255", Forbidden::NotAHost)]
    fn what_leads_to_this_machine_or_link_is_refused(#[case] address: &str, #[case] why: Forbidden) {
        assert_eq!(check(address.parse().expect("an address"), false), Err(why));
    }

    #[rstest]
    #[case("93.184.216.34")]
    #[case("10.0.0.7")]
    #[case("192.168.1.10")]
    #[case("2606:2800:220:1::1")]
    #[case("fdaa::3")]
    fn public_and_private_hosts_are_allowed(#[case] address: &str) {
        assert_eq!(check(address.parse().expect("an address"), false), Ok(()));
    }

    #[test]
    fn of_several_addresses_the_forbidden_ones_are_left_out() {
        let [good, bad] = ["10.0.0.7:80", "127.0.0.1:80"].map(|address| address.parse().expect("an address"));
        assert_eq!(allowed(&[bad, good], false), Ok(vec![good]));
        assert_eq!(allowed(&[bad, good], true), Ok(vec![bad, good]));
        assert_eq!(allowed(&[bad], false), Err(Forbidden::Loopback));
        assert_eq!(allowed(&[], false), Ok(Vec::new()));
    }

    #[rstest]
    #[case("http://10.0.0.7:8080/a", Some("10.0.0.7"))]
    #[case("http://0x7f.1/", Some("127.0.0.1"))]
    #[case("https://[::1]/", Some("::1"))]
    #[case("https://localhost/", None)]
    fn an_address_in_a_url_is_seen_however_it_is_written(#[case] url: &str, #[case] address: Option<&str>) {
        let address = address.map(|address| address.parse().expect("an address"));
        assert_eq!(literal(&url.parse().expect("a URL")), address);
    }

    proptest! {
        #[test]
        fn allowing_loopback_allows_nothing_else(bits: u128) {
            let address = IpAddr::V6(bits.into());
            let allowed = check(address, true).is_ok();
            let loopback = check(address, false) == Err(Forbidden::Loopback);
            prop_assert_eq!(allowed, loopback || check(address, false).is_ok());
        }

        #[test]
        fn a_mapped_address_is_judged_like_the_address(bits: u32) {
            let v4 = Ipv4Addr::from(bits);
            prop_assert_eq!(check(v4.into(), false), check(v4.to_ipv6_mapped().into(), false));
        }
    }
}
