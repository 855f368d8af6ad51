//! A preset as it is written down: by its name, which never changes its meaning.

use preset::Preset;
use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

pub(super) fn serialize<S: Serializer>(preset: &'static Preset, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(preset.name)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<&'static Preset, D::Error> {
    let name = String::deserialize(deserializer)?;
    preset::find(&name).ok_or_else(|| D::Error::custom(format!("there is no preset {name:?}")))
}
