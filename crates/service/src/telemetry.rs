//! Logs: one line an event, on standard error, as text or JSON.

use std::{
    fmt::{self, Write as _},
    str::FromStr as _,
};

use tracing::field::{Field, Visit};
use tracing_subscriber::{
    EnvFilter,
    field::RecordFields,
    filter::LevelFilter,
    fmt::{FormatFields, format::Writer},
};

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
        Format::Text => logs.fmt_fields(Fields).try_init(),
        Format::Json => logs.json().flatten_event(true).try_init(),
    };
}

/// Writes the fields of events and spans as text. JSON escapes what others have put into them; text must not end a line there,
/// nor tell a terminal what to do.
struct Fields;

impl<'writer> FormatFields<'writer> for Fields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut line = Line { writer, is_begun: false, result: Ok(()) };
        fields.record(&mut line);
        line.result
    }
}

struct Line<'writer> {
    writer: Writer<'writer>,
    is_begun: bool,
    result: fmt::Result,
}

impl Line<'_> {
    fn write(&mut self, name: &str, value: &dyn fmt::Debug) -> fmt::Result {
        if std::mem::replace(&mut self.is_begun, true) {
            self.writer.write_char(' ')?;
        }
        if name != "message" {
            write!(self.writer, "{name}=")?;
        }
        write!(Escaped(&mut self.writer), "{value:?}")
    }
}

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Where in its code a library of the older facade has logged.
        if self.result.is_ok() && !field.name().starts_with("log.") {
            self.result = self.write(field.name(), value);
        }
    }
}

/// Writes what could end a line, or turn its direction, as an escape.
struct Escaped<W>(W);

impl<W: fmt::Write> fmt::Write for Escaped<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            // Unicode Standard Annex #9, section 2.
            let turns =
                matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            if character.is_control() || turns || matches!(character, '\u{2028}' | '\u{2029}') {
                write!(self.0, "{}", character.escape_default())?;
            } else {
                self.0.write_char(character)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex, PoisonError},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Memory {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()).expect("text")
        }
    }

    impl io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_others_wrote_stays_in_its_line() {
        let memory = Memory::default();
        let writer = memory.clone();
        let logs = tracing_subscriber::fmt()
            .with_ansi(false)
            .without_time()
            .with_writer(move || writer.clone())
            .fmt_fields(Fields)
            .finish();
        let url = "/x\n2026-11-28 ERROR forged\u{1b}[31m\0\u{202e}é";
        tracing::subscriber::with_default(logs, || {
            let _job = tracing::info_span!("job", %url).entered();
            tracing::info!(job.id = "a", log.line = 7, failure = %url, "ended: {url}");
        });
        let text = memory.text();
        let escaped = "/x\\n2026-11-28 ERROR forged\\u{1b}[31m\\u{0}\\u{202e}é";
        assert!(text.ends_with(&format!("ended: {escaped} job.id=\"a\" failure={escaped}\n")), "{text}");
        assert!(text.contains(&format!("{{url={escaped}}}")), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }

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
