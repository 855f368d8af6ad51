//! Cuts a program's output into lines. Pure.

/// Longest line that is looked at, in bytes.
const MAX_LINE: usize = 256;

/// What is left of the last line.
#[derive(Debug, Default)]
pub(super) struct Lines {
    line: Vec<u8>,
}

impl Lines {
    /// Takes what was printed next and hands on the lines that are complete. False when `each` wants no more.
    pub(super) fn push(&mut self, bytes: &[u8], mut each: impl FnMut(&str) -> bool) -> bool {
        let mut wanted = true;
        for &byte in bytes {
            match byte {
                b'\n' => {
                    let line = std::mem::take(&mut self.line);
                    wanted = wanted && each(String::from_utf8_lossy(&line).trim());
                }
                _ if self.line.len() < MAX_LINE => self.line.push(byte),
                _ => {}
            }
        }
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_however_they_come() {
        let (mut lines, mut heard) = (Lines::default(), Vec::new());
        for part in ["0.0", "4,K_\r\n0.0", "8,__\n", "\n"] {
            lines.push(part.as_bytes(), |line| {
                heard.push(line.to_owned());
                true
            });
        }
        assert_eq!(heard, ["0.04,K_", "0.08,__", ""]);
    }

    #[test]
    fn a_line_without_end_is_not_kept() {
        let mut lines = Lines::default();
        lines.push(&vec![b'x'; 100_000], |_| true);
        assert!(lines.line.len() <= MAX_LINE);
    }
}
