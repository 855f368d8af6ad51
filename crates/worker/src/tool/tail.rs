//! The last lines of a program's standard error, in bounded memory.

use std::{collections::VecDeque, process::ExitStatus};

/// How many lines are kept.
pub(super) const MAX_LINES: usize = 20;

/// How much of a line is kept, in bytes. A line may quote a URL of 8 KiB, and what follows it is the cause.
const MAX_LINE: usize = 16 * 1024;

/// How ffmpeg begins lines that follow from an error told before.
const CONSEQUENCES: &[&str] = &[
    "    Last message repeated",
    "Cannot determine format of input stream",
    "Conversion failed",
    "Could not write header",
    "Error initializing",
    "Error marking filters as finished",
    "Error opening output",
    "Error while opening encoder",
    "Exiting normally",
    "Nothing was written",
    "Task finished with error",
    "Terminating thread",
];

/// How ffmpeg and ffprobe begin to say that they have no such thing. All that these lines are about is the worker's own
/// choice, never that of a job.
const COMPLAINTS: &[&str] = &[
    "Error parsing bitstream filter",
    "No such filter",
    "Requested output format",
    "Unknown encoder",
    "Unrecognized option",
];

/// By which status a shell, or a loader, says that a program cannot be started.
const NOT_STARTED: &[i32] = &[126, 127];

/// How ffmpeg marks the level of lines that are no trouble, with `-loglevel level+info`.
const INFORMATION: &str = "info";

/// How it marks the others.
const LEVELS: &[&str] = &["panic", "fatal", "error", "warning"];

/// Drops ffmpeg's `[demuxer @ 0x5581c0de]` and `[error]`: an address tells nobody anything.
fn without_context(line: &str) -> &str {
    match bracketed(line) {
        Some((context, message)) if context.contains(" @ 0x") || LEVELS.contains(&context) => without_context(message),
        Some(_) | None => line,
    }
}

fn bracketed(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix('[')?.split_once("] ")
}

fn is_information(line: &str) -> bool {
    bracketed(without_context(line)).is_some_and(|(level, _)| level == INFORMATION)
}

/// The last lines that a program printed.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    lines: VecDeque<String>,
    partial: Vec<u8>,
}

impl Tail {
    /// Takes what the program printed next.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match byte {
                b'\n' | b'\r' => self.finish(),
                _ if self.partial.len() < MAX_LINE => self.partial.push(byte),
                _ => {}
            }
        }
    }

    /// Ends the line that was begun.
    pub(super) fn finish(&mut self) {
        let line = String::from_utf8_lossy(&self.partial);
        let line: String = line.chars().filter(|c| !c.is_control()).collect();
        self.partial.clear();
        if line.trim().is_empty() {
            return;
        }
        tracing::debug!(line, "program output");
        // An encoder's statistics come after the error that ended it, and would drive it out.
        if is_information(&line) {
            return;
        }
        if self.lines.len() == MAX_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// The line that says why the program failed: the last one that does not merely say that something did.
    pub(crate) fn cause(&self) -> Option<&str> {
        let telling =
            self.lines().rfind(|line| !CONSEQUENCES.iter().any(|start| without_context(line).starts_with(start)));
        telling.or_else(|| self.lines().next_back()).map(without_context)
    }

    /// Why the program could do nothing with any input: it, or a library, is not there, or it is too old, or built without
    /// what it is asked for. `status` is how it ended.
    pub(crate) fn unusable(&self, status: ExitStatus) -> Option<&str> {
        let is_complaint = |line: &&str| COMPLAINTS.iter().any(|start| line.starts_with(start));
        let not_started =
            || NOT_STARTED.contains(&status.code()?).then(|| self.cause().unwrap_or("it cannot be started"));
        self.messages().find(is_complaint).or_else(not_started)
    }

    /// The lines, oldest first, without what ffmpeg puts before its messages.
    pub(crate) fn messages(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.lines().map(without_context)
    }

    /// The lines, oldest first.
    pub(crate) fn lines(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    #[test]
    fn long_lines_are_cut_and_old_lines_dropped() {
        let mut tail = Tail::default();
        for number in 0..100 {
            tail.push(format!("{number} {}\r\n", "x".repeat(20_000)).as_bytes());
        }
        assert_eq!(tail.lines().count(), MAX_LINES);
        assert!(tail.lines().next().is_some_and(|line| line.starts_with("80 ") && line.len() == MAX_LINE));
    }

    #[test]
    fn the_cause_is_the_last_line_that_tells_something() {
        let mut tail = Tail::default();
        assert_eq!(tail.cause(), None);
        tail.push(b"[mov,mp4 @ 0x55] [h264 @ 0x1] moov atom not found\nError initializing output stream 0:2 -- \n");
        assert_eq!(tail.cause(), Some("moov atom not found"));
        let mut tail = Tail::default();
        tail.push(b"[not a context] Conversion failed!\nConversion failed!\n");
        assert_eq!(tail.cause(), Some("[not a context] Conversion failed!"));
    }

    #[test]
    fn what_a_program_lacks_is_told() {
        let unusable = |said: &str, code: i32| {
            let mut tail = Tail::default();
            tail.push(said.as_bytes());
            tail.finish();
            tail.unusable(ExitStatus::from_raw(code << 8)).map(ToOwned::to_owned)
        };
        let option = "Unrecognized option 'fps_mode'.\nError splitting the argument list: Option not found\n";
        assert_eq!(unusable(option, 1).as_deref(), Some("Unrecognized option 'fps_mode'."));
        let filter = "[AVFilterGraph @ 0x5581] No such filter: 'scale'\nError reinitializing filters!\n";
        assert_eq!(unusable(filter, 1).as_deref(), Some("No such filter: 'scale'"));
        assert_eq!(unusable("libx264.so.164: cannot open", 127).as_deref(), Some("libx264.so.164: cannot open"));
        assert_eq!(unusable("", 126).as_deref(), Some("it cannot be started"));
        assert_eq!(unusable("title: Unknown encoder", 1), None);
    }

    #[test]
    fn information_is_not_kept() {
        let mut tail = Tail::default();
        tail.push(b"[error] Error writing trailer\n[libx264 @ 0x55] [info] kb/s:929.94\n[aac @ 0x1] [info] Qavg: 1\n");
        assert_eq!(tail.lines().count(), 1);
        assert_eq!(tail.cause(), Some("Error writing trailer"));
        tail.push(b"[mov @ 0x2] [fatal] moov atom not found\n[error] Conversion failed!\n");
        assert_eq!(tail.cause(), Some("moov atom not found"));
    }

    #[test]
    fn control_characters_and_broken_text_are_made_harmless() {
        let mut tail = Tail::default();
        tail.push(b"\x1b[31mred\x07\xff\n");
        assert_eq!(tail.lines().collect::<Vec<_>>(), ["[31mred\u{fffd}"]);
    }
}
