//! The last lines of a program's standard error, in bounded memory.

use std::collections::VecDeque;

/// How many lines are kept.
pub(super) const MAX_LINES: usize = 20;

/// How much of a line is kept, in bytes.
const MAX_LINE: usize = 500;

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
        if self.lines.len() == MAX_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// The lines, oldest first.
    pub(crate) fn lines(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_cut_and_old_lines_dropped() {
        let mut tail = Tail::default();
        for number in 0..100 {
            tail.push(format!("{number} {}\r\n", "x".repeat(10_000)).as_bytes());
        }
        assert_eq!(tail.lines().count(), MAX_LINES);
        assert!(tail.lines().next().is_some_and(|line| line.starts_with("80 ") && line.len() == MAX_LINE));
    }

    #[test]
    fn control_characters_and_broken_text_are_made_harmless() {
        let mut tail = Tail::default();
        tail.push(b"\x1b[31mred\x07\xff\n");
        assert_eq!(tail.lines().collect::<Vec<_>>(), ["[31mred\u{fffd}"]);
    }
}
