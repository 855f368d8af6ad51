//! Keeps the programs from connecting anywhere but to the input guard, by the kernel's Landlock (Linux 6.7 and later).
//!
//! ffmpeg's own protocol whitelist cannot do that: HTTPS through a proxy needs the `httpproxy` protocol, and an HLS
//! playlist may name `httpproxy://` URLs, which lead straight to any address.

use std::{io, sync::LazyLock};

use landlock::{
    AccessNet, CompatLevel, Compatible as _, NetPort, Ruleset, RulesetAttr as _, RulesetCreated,
    RulesetCreatedAttr as _, RulesetError,
};

/// Whether this kernel can do it. Where it cannot, inputs that name further inputs must not be read.
pub(crate) fn is_possible() -> bool {
    static POSSIBLE: LazyLock<bool> = LazyLock::new(|| ruleset(None).is_ok());
    *POSSIBLE
}

/// What a program may connect to: this port, or nothing. `None` where the kernel cannot tell.
pub(super) fn to_port(port: Option<u16>) -> io::Result<Option<RulesetCreated>> {
    if !is_possible() {
        return Ok(None);
    }
    ruleset(port).map(Some).map_err(io::Error::other)
}

fn ruleset(port: Option<u16>) -> Result<RulesetCreated, RulesetError> {
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessNet::ConnectTcp)?
        .handle_access(AccessNet::BindTcp)?
        .create()?;
    match port {
        Some(port) => ruleset.add_rule(NetPort::new(port, AccessNet::ConnectTcp)),
        None => Ok(ruleset),
    }
}
