//! Which process this is, and where it listens.

use std::{fs, io, net::SocketAddr, os::unix::fs::MetadataExt as _};

use uuid::Uuid;

/// The names of a process, for callers who must know whether an earlier one is dead.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// New at each start.
    pub(crate) instance: String,
    /// The same for whoever listens there next. Two processes cannot listen at one address of one network namespace at
    /// once, and the kernel closes a listener only when its process has ended.
    pub(crate) place: String,
}

impl Identity {
    /// The names of a process that listens at `address`.
    pub(crate) fn of(address: SocketAddr) -> Self {
        let instance = Uuid::new_v4().to_string();
        // A place of its own has no successor, so nobody is wrongly taken for dead.
        let place = network().map_or_else(|_| instance.clone(), |network| format!("{network}/{address}"));
        Self { instance, place }
    }
}

/// The running kernel and this process's network namespace in it.
fn network() -> io::Result<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let namespace = fs::metadata("/proc/self/ns/net")?.ino();
    Ok(format!("{}/{namespace}", boot.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successor_has_the_same_place_and_another_name() {
        let address = |port| SocketAddr::from(([0, 0, 0, 0], port));
        let (first, second, elsewhere) = (Identity::of(address(1)), Identity::of(address(1)), Identity::of(address(2)));
        assert_eq!(first.place, second.place);
        assert_ne!(first.instance, second.instance);
        assert_ne!(first.place, elsewhere.place);
    }
}
