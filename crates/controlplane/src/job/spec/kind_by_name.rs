//! A kind of output as it is written down: by its name.

use preset::OutputType;
use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

/// Every kind.
const ALL: [OutputType; 3] = [OutputType::Single, OutputType::Hls, OutputType::Dash];

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
pub(super) fn serialize<S: Serializer>(kind: &OutputType, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.name())
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<OutputType, D::Error> {
    let name = String::deserialize(deserializer)?;
    let kind = ALL.into_iter().find(|kind| kind.name() == name);
    kind.ok_or_else(|| D::Error::custom(format!("there is no output type {name:?}")))
}
