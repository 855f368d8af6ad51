//! Reads what ffmpeg writes to `-progress`: blocks of `key=value` lines, each ended by a line `progress=…`. Pure.

use std::mem;

/// Longest line that is looked at, in bytes.
const MAX_LINE: usize = 256;

/// How far ffmpeg has come. What it does not know is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Progress {
    /// Length of what is encoded, in seconds.
    pub(crate) seconds: Option<f64>,
    /// Number of frames encoded.
    pub(crate) frames: Option<u64>,
    /// Frames per second.
    pub(crate) fps: Option<f64>,
    /// Seconds of media per second.
    pub(crate) speed: Option<f64>,
}

impl Progress {
    /// Share of `duration` that is done, in percent, 0 to 100; 0 when either is not known.
    pub(crate) fn percent(&self, duration: Option<f64>) -> f32 {
        let share = match (self.seconds, duration) {
            (Some(done), Some(all)) if all > 0.0 => (done / all * 100.0).clamp(0.0, 100.0),
            (_, _) => 0.0,
        };
        #[expect(clippy::cast_possible_truncation, reason = "0 to 100, and the wire has a float")]
        let percent = share as f32;
        percent
    }

    /// Seconds until the end of `duration` at this speed.
    pub(crate) fn seconds_left(&self, duration: Option<f64>) -> Option<f64> {
        let left = (duration? - self.seconds?).max(0.0) / self.speed?;
        left.is_finite().then_some(left)
    }

    fn has_advanced_from(&self, earlier: &Self) -> bool {
        self.seconds > earlier.seconds || self.frames > earlier.frames
    }
}

/// Turns ffmpeg's output into progress. A report that brings nothing new is not progress.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    current: Progress,
    last: Progress,
}

impl Parser {
    /// Takes what ffmpeg printed next.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<Progress> {
        let mut progress = Vec::new();
        for &byte in bytes {
            match byte {
                b'\n' | b'\r' => progress.extend(self.end_line()),
                _ if self.line.len() < MAX_LINE => self.line.push(byte),
                _ => {}
            }
        }
        progress
    }

    fn end_line(&mut self) -> Option<Progress> {
        let line = mem::take(&mut self.line);
        let (key, value) = std::str::from_utf8(&line).ok()?.split_once('=')?;
        let value = value.trim();
        match key.trim() {
            // The field called out_time_ms holds microseconds as well; this one says so.
            "out_time_us" => self.current.seconds = value.parse::<i64>().ok().map(seconds).or(self.current.seconds),
            "frame" => self.current.frames = value.parse().ok().or(self.current.frames),
            "fps" => self.current.fps = figure(value),
            "speed" => self.current.speed = figure(value.trim_end_matches('x')),
            "progress" => return self.end_block(),
            _ => {}
        }
        None
    }

    fn end_block(&mut self) -> Option<Progress> {
        self.current.has_advanced_from(&self.last).then(|| {
            self.last = self.current;
            self.current
        })
    }
}

/// A rate; 0 is what ffmpeg says before it knows.
fn figure(text: &str) -> Option<f64> {
    text.parse().ok().filter(|figure: &f64| figure.is_finite() && *figure > 0.0)
}

fn seconds(micros: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "exact up to 285 years")]
    let seconds = micros.max(0) as f64 / 1e6;
    seconds
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TWO_BLOCKS: &[u8] =
        b"frame=10\nfps=25.0\nout_time_us=400000\nout_time_ms=400000\nspeed=1.5x\nprogress=continue\n\
        frame=20\nout_time_us=800000\nspeed= 2x\nprogress=end\n";

    #[test]
    fn each_block_is_one_progress() {
        let progress = Parser::default().push(TWO_BLOCKS);
        assert_eq!(
            progress,
            [
                Progress { seconds: Some(0.4), frames: Some(10), fps: Some(25.0), speed: Some(1.5) },
                Progress { seconds: Some(0.8), frames: Some(20), fps: Some(25.0), speed: Some(2.0) },
            ]
        );
    }

    #[test]
    fn what_is_not_available_keeps_its_last_value() {
        let mut parser = Parser::default();
        parser.push(b"frame=5\nout_time_us=N/A\nspeed=N/A\nprogress=continue\n");
        assert_eq!(parser.last, Progress { frames: Some(5), ..Progress::default() });
        assert_eq!(parser.last.percent(Some(10.0)).to_bits(), 0.0_f32.to_bits());
    }

    #[test]
    fn a_report_without_anything_new_is_not_progress() {
        let mut parser = Parser::default();
        let report = b"frame=5\nout_time_us=1000000\nprogress=continue\n";
        assert_eq!((parser.push(report).len(), parser.push(report).len()), (1, 0));
    }

    #[test]
    fn percent_stays_between_nothing_and_all() {
        let at = |seconds| Progress { seconds: Some(seconds), ..Progress::default() }.percent(Some(10.0));
        assert_eq!([at(-1.0), at(5.0), at(11.0)].map(f32::to_bits), [0.0_f32, 50.0, 100.0].map(f32::to_bits));
    }

    #[test]
    fn the_time_left_is_known_with_length_and_speed() {
        let at = |seconds, speed| Progress { seconds, speed, ..Progress::default() }.seconds_left(Some(10.0));
        assert_eq!(at(Some(4.0), Some(2.0)), Some(3.0));
        assert_eq!(at(Some(11.0), Some(2.0)), Some(0.0));
        assert_eq!((at(None, Some(2.0)), at(Some(4.0), None), at(Some(4.0), Some(1e-320))), (None, None, None));
    }

    #[test]
    fn rates_that_ffmpeg_does_not_know_yet_are_unknown() {
        let mut parser = Parser::default();
        parser.push(b"frame=5\nfps=0.00\nspeed=N/A\nprogress=continue\n");
        assert_eq!((parser.last.fps, parser.last.speed), (None, None));
    }

    proptest! {
        #[test]
        fn chunks_do_not_matter(cut in 0..TWO_BLOCKS.len()) {
            let (head, tail) = TWO_BLOCKS.split_at(cut);
            let mut parser = Parser::default();
            let mut progress = parser.push(head);
            progress.extend(parser.push(tail));
            prop_assert_eq!(progress, Parser::default().push(TWO_BLOCKS));
        }

        #[test]
        fn no_output_makes_it_panic_or_leave_the_range(output: Vec<u8>, duration: f64) {
            for progress in Parser::default().push(&output) {
                prop_assert!((0.0..=100.0).contains(&progress.percent(Some(duration))));
            }
        }

        #[test]
        fn no_value_makes_it_leave_the_range(value in ".*", micros: i64, duration in 0.0..1e9) {
            let block = format!("out_time_us={micros}\nframe={value}\nspeed={value}\nprogress=continue\n");
            for progress in Parser::default().push(block.as_bytes()) {
                prop_assert!((0.0..=100.0).contains(&progress.percent(Some(duration))));
            }
        }
    }
}
