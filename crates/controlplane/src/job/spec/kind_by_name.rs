//! A kind of output as it is written down: by its name.

use preset::OutputType;
use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

/// Every kind.
const ALL: [OutputType; 3] = [OutputType::Single, OutputType::Hls, OutputType::Dash];

#[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
pub(super) fn serialize<S: Serializer>(kind: &Option<OutputType>, serializer: S) -> Result<S::Ok, S::Error> {
    kind.map(OutputType::name).serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<OutputType>, D::Error> {
    let Some(name) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let kind = ALL.into_iter().find(|kind| kind.name() == name);
    kind.map(Some).ok_or_else(|| D::Error::custom(format!("there is no output type {name:?}")))
}
