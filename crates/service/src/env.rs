//! Settings from the environment: described once, read through a trait, every mistake reported together.
//!
//! A [`Setting`] is the single description of a variable; `--help`, the README's tables and the reader all use it.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use secrecy::SecretString;

/// One environment variable that a binary reads.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Name of the variable.
    pub name: &'static str,
    /// Value when it is unset or empty; `None` when there is none.
    pub default: Option<&'static str>,
    /// What it does, with its unit and its allowed values.
    pub help: &'static str,
}

/// Where variables come from.
pub trait Env {
    /// The variable's value; `None` when it is not set.
    fn get(&self, name: &str) -> Option<String>;
}

/// The environment of this process.
#[derive(Debug, Clone, Copy)]
pub struct ProcessEnv;

impl Env for ProcessEnv {
    fn get(&self, name: &str) -> Option<String> {
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    }
}

impl Env for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<String> {
        BTreeMap::get(self, name).cloned()
    }
}

impl<const N: usize> Env for [(&str, &str); N] {
    fn get(&self, name: &str) -> Option<String> {
        self.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }
}

/// One setting that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Name of the variable.
    pub name: &'static str,
    /// What is wrong and what is right.
    pub reason: String,
}

/// Every setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("settings that cannot be used:")?;
        for Mistake { name, reason } in &self.0 {
            write!(f, "\n  {name}: {reason}")?;
        }
        Ok(())
    }
}

/// Reads settings and collects mistakes.
pub struct Reader<'a> {
    env: &'a dyn Env,
    mistakes: Vec<Mistake>,
}

impl<'a> Reader<'a> {
    /// A reader over `env`.
    #[must_use]
    pub fn new(env: &'a dyn Env) -> Self {
        Self { env, mistakes: Vec::new() }
    }

    /// Reads a setting that must have a value, its default if need be. `None` means that a mistake was noted.
    pub fn require<T>(&mut self, setting: &Setting, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let Some(text) = self.text(setting) else {
            self.mistake(setting, "must be set");
            return None;
        };
        self.parse(setting, &text, parse)
    }

    /// Reads a setting that may be unset. An unusable value is noted and reads as `None`.
    pub fn optional<T>(&mut self, setting: &Setting, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text(setting)?;
        self.parse(setting, &text, parse)
    }

    /// Reads a secret that may be unset. One of nothing but spaces is a mistake: who fills it in from elsewhere believes that
    /// there is one.
    pub fn secret<T>(&mut self, setting: &Setting, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let given = self.env.get(setting.name).unwrap_or_default();
        if !given.is_empty() && given.trim().is_empty() {
            self.mistake(setting, "holds nothing but spaces: give a value, or none at all");
        }
        self.optional(setting, parse)
    }

    /// Notes a mistake that only several settings together show.
    pub fn mistake(&mut self, setting: &Setting, reason: impl Into<String>) {
        self.mistakes.push(Mistake { name: setting.name, reason: reason.into() });
    }

    /// Builds the configuration, or tells every mistake. `build` answers `None` only where a value was missing.
    ///
    /// # Errors
    /// Every mistake noted so far.
    pub fn finish<C>(self, build: impl FnOnce() -> Option<C>) -> Result<C, Mistakes> {
        match build() {
            Some(config) if self.mistakes.is_empty() => Ok(config),
            _ => Err(Mistakes(self.mistakes)),
        }
    }

    fn text(&self, setting: &Setting) -> Option<String> {
        // Compose files and shells write `NAME=` for "not set".
        let given = self.env.get(setting.name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        given.or_else(|| setting.default.map(str::to_owned))
    }

    fn parse<T>(&mut self, setting: &Setting, text: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        parse(text).map_err(|reason| self.mistake(setting, reason)).ok()
    }
}

/// Any text.
///
/// # Errors
/// Never.
pub fn text(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

/// Anything that can be parsed, such as a port or a path.
///
/// # Errors
/// The type's own message, with the value.
pub fn parsed<T: FromStr<Err: fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!("{text:?}: {error}"))
}

/// A text that must not show in logs.
///
/// # Errors
/// Never.
pub fn secret(text: &str) -> Result<SecretString, String> {
    Ok(text.to_owned().into())
}

/// A whole number of at least one.
///
/// # Errors
/// What was given instead.
pub fn count(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err(format!("{text:?}: give a whole number, 1 or more")),
        Ok(count) => Ok(count),
    }
}

/// A TCP port; 0 lets the system choose.
///
/// # Errors
/// What was given instead.
pub fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("{text:?}: give a port from 0 to 65535"))
}

/// `true` or `1`, `false` or `0`.
///
/// # Errors
/// What was given instead.
pub fn flag(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(format!("{text:?}: give true, 1, false or 0")),
    }
}

/// A length of time: a bare number is seconds; `500ms`, `90s`, `15m`, `6h` and `7d` work too. More than zero.
///
/// # Errors
/// What was given instead.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let millis_per_unit: u64 = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => 0,
    };
    let millis = number.parse::<u64>().ok().and_then(|number| number.checked_mul(millis_per_unit));
    match millis {
        None | Some(0) => Err(format!("{text:?}: give a time such as 30, 90s, 15m or 7d")),
        Some(millis) => Ok(Duration::from_millis(millis)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORT: Setting = Setting { name: "PORT", default: Some("8080"), help: "" };
    const NODES: Setting = Setting { name: "NODES", default: None, help: "" };

    #[test]
    fn every_mistake_is_reported_at_once() {
        let env = [("PORT", "eighty"), ("NODES", " ")];
        let mut reader = Reader::new(&env);
        let port = reader.require(&PORT, parsed::<u16>);
        let nodes = reader.require(&NODES, text);
        let mistakes = reader.finish(|| Some((port?, nodes?))).expect_err("both are wrong");
        assert_eq!(
            mistakes.to_string(),
            "settings that cannot be used:\n  PORT: \"eighty\": invalid digit found in string\n  NODES: must be set"
        );
    }

    #[test]
    fn an_empty_value_reads_as_the_default() {
        let env = [("PORT", "")];
        let mut reader = Reader::new(&env);
        let port = reader.require(&PORT, parsed::<u16>);
        assert_eq!(reader.finish(|| port), Ok(8080));
    }

    #[test]
    fn a_blank_secret_is_a_mistake() {
        for (given, mistakes) in [("", 0), (" ", 1), ("\n", 1), ("hunter2", 0)] {
            let env = [("NODES", given)];
            let mut reader = Reader::new(&env);
            let found = reader.secret(&NODES, secret);
            assert_eq!(found.is_some(), given == "hunter2", "{given:?}");
            assert_eq!(reader.mistakes.len(), mistakes, "{given:?}");
        }
    }

    #[test]
    fn a_mistake_in_an_optional_setting_is_still_a_mistake() {
        let env = [("NODES", "x")];
        let mut reader = Reader::new(&env);
        let nodes = reader.optional(&NODES, count);
        assert!(reader.finish(|| Some(nodes)).is_err());
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("7d"), Ok(Duration::from_hours(7 * 24)));
        for wrong in ["", "0", "-1", "1.5", "10 s", "9999999999999999999d", "s", "1w"] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn flags_are_true_or_false() {
        assert_eq!((flag("1"), flag("TRUE"), flag("0")), (Ok(true), Ok(true), Ok(false)));
        assert!(flag("yes").is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in ".*") {
            let _ = (duration(&text), count(&text), flag(&text));
        }
    }
}
