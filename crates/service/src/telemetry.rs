//! Logs: one line an event, on standard error, as text or JSON.

use std::str::FromStr as _;

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use crate::env::{Reader, Setting};

/// `ENV`.
pub const ENV: Setting =
    Setting { name: "ENV", default: None, help: "`development` turns debug logs on, ffmpeg's output among them" };
/// `LOG_LEVEL`.
pub const LOG_LEVEL: Setting = Setting {
    name: "LOG_LEVEL",
    default: Some("info"),
    help: "error, warn, info, debug or trace, or a filter such as `info,worker=debug`",
};
/// `LOG_FORMAT`.
pub const LOG_FORMAT: Setting = Setting { name: "LOG_FORMAT", default: Some("text"), help: "text or json" };

/// What to log and how.
#[derive(Debug, Clone)]
pub struct Config {
    filter: String,
    format: Format,
}

#[derive(Debug, Clone, Copy)]
enum Format {
    Text,
    Json,
}

impl Config {
    /// Reads `ENV`, `LOG_LEVEL` and `LOG_FORMAT`.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let development = reader.optional(&ENV, crate::env::text).is_some_and(|env| env == "development");
        let level = reader.require(&LOG_LEVEL, filter);
        let format = reader.require(&LOG_FORMAT, |text| match text {
            "text" => Ok(Format::Text),
            "json" => Ok(Format::Json),
            _ => Err(format!("{text:?}: give text or json")),
        });
        let filter = if development { "info,controlplane=debug,worker=debug,service=debug".to_owned() } else { level? };
        Some(Self { filter, format: format? })
    }
}

/// A word that is no level would be taken for the name of a module, and everything else would fall silent.
fn filter(text: &str) -> Result<String, String> {
    let is_sound = |directive: &str| directive.contains(['=', '[']) || LevelFilter::from_str(directive).is_ok();
    if text.split(',').map(str::trim).all(is_sound) && EnvFilter::try_new(text).is_ok() {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?}: give error, warn, info, debug or trace, or a filter such as info,worker=debug"))
    }
}

/// Starts logging. Later calls in the same process change nothing.
pub fn start(config: &Config) {
    let logs = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&config.filter))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    // A second start in one process happens only in tests.
    let _ = match config.format {
        Format::Text => logs.try_init(),
        Format::Json => logs.json().flatten_event(true).try_init(),
    };
}

#[cfg(test)]
mod tests {
    use super::filter;

    #[test]
    fn a_log_level_is_a_level_or_a_filter() {
        for good in ["info", "WARN", "off", "info,worker=debug", "worker=debug, info"] {
            assert!(filter(good).is_ok(), "{good}");
        }
        for bad in ["loud", "verbose", "info,loud", "worker=loud"] {
            assert!(filter(bad).is_err(), "{bad}");
        }
    }
}
