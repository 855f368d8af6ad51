//! Reads lists of marks, as ffmpeg's `framehash` writes them: a line for each coded picture and each packet of sound, in
//! the order of the file. Pure, and never more than a line in memory.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, Read as _},
};

use super::time::Time;

/// Longest line that is looked at, in bytes. Side data has lines of a few hundred.
const MAX_LINE: u64 = 16 * 1024;

/// How each list begins.
const FORMAT: &str = "#format: frame checksums";

/// One coded picture or packet of sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// Number of the stream in the list.
    pub(super) stream: usize,
    /// When it is shown.
    pub(super) time: Time,
    /// What it is.
    pub(super) print: Print,
}

/// What a coded picture or packet is, whatever container it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Print {
    size: u64,
    hash: u128,
}

/// What a list says of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stream {
    /// Length of a tick in seconds.
    pub(super) tick: Time,
    /// `video` or `audio`.
    pub(super) kind: String,
    /// The decoder's parameters, hashed.
    pub(super) parameters: String,
    /// Samples a second, of sound.
    pub(super) sample_rate: u32,
}

/// A list that is being read.
#[derive(Debug)]
pub(super) struct Marks<R> {
    lines: R,
    streams: BTreeMap<usize, Stream>,
}

impl<R: BufRead> Marks<R> {
    /// Reads what is before the marks.
    pub(super) fn open(lines: R) -> io::Result<Self> {
        let mut marks = Self { lines, streams: BTreeMap::new() };
        if marks.line()?.as_deref() != Some(FORMAT) {
            return Err(malformed("is no list of marks"));
        }
        while let Some(line) = marks.line()? {
            if line.starts_with("#stream#") {
                return Ok(marks);
            }
            marks.note(&line);
        }
        // There was not one packet.
        Ok(marks)
    }

    /// What the list says of a stream.
    pub(super) fn stream(&self, number: usize) -> Option<&Stream> {
        self.streams.get(&number)
    }

    /// The number of the stream of that kind.
    pub(super) fn find(&self, kind: &str) -> Option<usize> {
        self.streams.iter().find(|(_, stream)| stream.kind == kind).map(|(number, _)| *number)
    }

    /// The next mark.
    pub(super) fn next(&mut self) -> io::Result<Option<Mark>> {
        while let Some(line) = self.line()? {
            if !line.starts_with('#') {
                return self.mark(&line).map(Some).ok_or_else(|| malformed("holds a line that is no mark"));
            }
        }
        Ok(None)
    }

    /// `stream, dts, pts, duration, size, hash`, and what follows of side data.
    fn mark(&self, line: &str) -> Option<Mark> {
        let mut fields = line.split(',').map(str::trim);
        let stream = fields.next()?.parse().ok()?;
        let pts: i64 = fields.nth(1)?.parse().ok()?;
        let size = fields.nth(1)?.parse().ok()?;
        let hash = u128::from_str_radix(fields.next()?, 16).ok()?;
        let time = self.streams.get(&stream)?.tick.times(pts.into());
        Some(Mark { stream, time, print: Print { size, hash } })
    }

    /// A line such as `#tb 0: 1/12800`.
    fn note(&mut self, line: &str) {
        let Some((name, rest)) = line.trim_start_matches('#').split_once(' ') else { return };
        let Some((number, value)) = rest.split_once([':', ',']) else { return };
        let Ok(number) = number.trim().parse() else { return };
        let (value, stream) = (value.trim(), self.streams.entry(number).or_default());
        match name {
            "tb" => stream.tick = Time::parse(value).unwrap_or_default(),
            "media_type" => value.clone_into(&mut stream.kind),
            "extradata" => value.clone_into(&mut stream.parameters),
            "sample_rate" => stream.sample_rate = value.parse().unwrap_or_default(),
            _ => {}
        }
    }

    fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = String::new();
        match (&mut self.lines).take(MAX_LINE).read_line(&mut line)? {
            0 => Ok(None),
            _ if line.ends_with('\n') => {
                line.truncate(line.trim_end().len());
                Ok(Some(line))
            }
            _ => Err(malformed("is cut off")),
        }
    }
}

fn malformed(problem: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIST: &str = "#format: frame checksums\n#version: 2\n#hash: MD5\n\
        #extradata 0,                              39, 40961f97c75adea1b1add3cb5eb0a008\n\
        #tb 0: 1/12800\n#media_type 0: video\n#tb 1: 1/90000\n#media_type 1: audio\n#sample_rate 1: 48000\n\
        #stream#, dts,        pts, duration,     size, hash\n\
        0,      -1024,        512,      512,     3015, 6a4fc518ffdf52e9165ef6afb29949be, S=1,        1, ec2d11\n\
        1,     131280,     131280,     1920,      220, 93315adbc700657409b88bd3e4744eb3\n";

    #[test]
    fn a_list_is_read() {
        let mut marks = Marks::open(LIST.as_bytes()).expect("opens");
        assert_eq!((marks.find("video"), marks.find("audio"), marks.find("data")), (Some(0), Some(1), None));
        assert_eq!(marks.stream(1).map(|stream| stream.sample_rate), Some(48_000));
        assert_eq!(marks.stream(0).map(|s| s.parameters.as_str()), Some("39, 40961f97c75adea1b1add3cb5eb0a008"));
        let first = marks.next().expect("reads").expect("a mark");
        assert_eq!((first.stream, first.time), (0, Time::new(512, 12_800)));
        assert_eq!(first.print, Print { size: 3015, hash: 0x6a4f_c518_ffdf_52e9_165e_f6af_b299_49be });
        assert_eq!(marks.next().expect("reads").map(|mark| mark.time), Some(Time::new(131_280, 90_000)));
        assert_eq!(marks.next().expect("reads"), None);
    }

    #[test]
    fn a_list_that_is_cut_off_is_an_error() {
        let mut marks = Marks::open(&LIST.as_bytes()[..LIST.len() - 3]).expect("opens");
        assert!(marks.next().is_ok());
        assert_eq!(marks.next().expect_err("cut off").to_string(), "is cut off");
        assert!(Marks::open(&b"<html>\n"[..]).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(text in "(#tb 0: [0-9/]{1,8}\n|#stream#\n|0, [0-9, a-f-]{0,30}\n){0,6}") {
            let text = format!("{FORMAT}\n{text}");
            if let Ok(mut marks) = Marks::open(text.as_bytes()) {
                while let Ok(Some(_)) = marks.next() {}
            }
        }
    }
}
