//! What a joined output must hold: the pictures of all chunks one after the other, and the packets of the sound. Pure, over
//! lists that are read as they are needed.

use std::io::BufRead;

use super::{
    Error,
    marks::{Marks, Print},
    time::Time,
};

/// One picture or packet that must be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) name: Name,
    /// When it is shown, in the output.
    pub(super) time: Time,
    pub(super) print: Print,
}

/// What people call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// A picture: its chunk, its number in that chunk in the order in which they are shown, and its time in the source.
    Frame { chunk: usize, number: u64, at: Time },
    /// A packet of sound: its number, and its time in the source.
    Packet { number: u64, at: Time },
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Frame { chunk, number, at } => write!(f, "chunk {chunk}: frame {number} (at {at})"),
            Self::Packet { number, at } => write!(f, "audio: packet {number} (at {at})"),
        }
    }
}

/// A sequence of items.
pub(super) trait Sequence {
    /// The next one.
    fn next(&mut self) -> Result<Option<Item>, Error>;
}

/// A range of frames.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    /// Number of the first one.
    pub(super) first: u64,
    /// How many.
    pub(super) frames: u64,
}

/// The pictures of one rendition.
pub(super) struct Pictures<'a, R> {
    /// Opens the list of a chunk.
    open: Box<dyn FnMut(usize) -> Result<Marks<R>, Error> + Send + 'a>,
    /// Length of a frame.
    frame: Time,
    /// Time of the first frame of all in the output.
    start: Time,
    chunks: &'a [Range],
    /// Number of the chunk that is read next.
    next: usize,
    current: Option<Current<R>>,
    parameters: Option<String>,
}

/// The chunk that is being read.
struct Current<R> {
    marks: Marks<R>,
    index: usize,
    range: Range,
    tick: Time,
    /// Which frames were there.
    seen: Vec<bool>,
    count: u64,
}

impl<'a, R: BufRead> Pictures<'a, R> {
    pub(super) fn new(
        chunks: &'a [Range],
        frame: Time,
        start: Time,
        open: impl FnMut(usize) -> Result<Marks<R>, Error> + Send + 'a,
    ) -> Self {
        Self { open: Box::new(open), frame, start, chunks, next: 0, current: None, parameters: None }
    }

    /// Opens the next chunk's list; false after the last one.
    fn open_next(&mut self) -> Result<bool, Error> {
        let Some(range) = self.chunks.get(self.next).copied() else { return Ok(false) };
        let (index, marks) = (self.next, (self.open)(self.next)?);
        self.next += 1;
        let parameters = marks.stream(0).map(|stream| stream.parameters.clone()).unwrap_or_default();
        match &self.parameters {
            None => self.parameters = Some(parameters),
            Some(first) if *first != parameters => {
                return Err(Error::split(format!("chunk {index}: its decoder parameters are not those of chunk 0")));
            }
            Some(_) => {}
        }
        self.current = Some(Current::new(marks, index, range));
        Ok(true)
    }
}

impl<R: BufRead> Sequence for Pictures<'_, R> {
    fn next(&mut self) -> Result<Option<Item>, Error> {
        loop {
            let (frame, start) = (self.frame, self.start);
            if let Some(current) = &mut self.current {
                if let Some(item) = current.next(frame, start)? {
                    return Ok(Some(item));
                }
                self.current = None;
            }
            if !self.open_next()? {
                return Ok(None);
            }
        }
    }
}

/// Whether the list of a chunk has every frame of its range once, at its time.
pub(super) fn check<R: BufRead>(marks: Marks<R>, index: usize, range: Range, frame: Time) -> Result<(), Error> {
    let mut current = Current::new(marks, index, range);
    while current.next(frame, Time::default())?.is_some() {}
    Ok(())
}

impl<R: BufRead> Current<R> {
    fn new(marks: Marks<R>, index: usize, range: Range) -> Self {
        let tick = marks.stream(0).map_or_else(Time::default, |stream| stream.tick);
        let seen = vec![false; usize::try_from(range.frames).unwrap_or_default()];
        Self { marks, index, range, tick, seen, count: 0 }
    }

    /// The next picture; at the end all frames have been there once.
    fn next(&mut self, frame: Time, start: Time) -> Result<Option<Item>, Error> {
        let chunk = self.index;
        let Some(mark) = self.marks.next().map_err(|error| Error::marks(format!("chunk {chunk}"), error))? else {
            return if self.count == self.range.frames {
                Ok(None)
            } else {
                let (found, frames) = (self.count, self.range.frames);
                Err(Error::split(format!("chunk {chunk} has {found} frames instead of {frames}")))
            };
        };
        self.count += 1;
        let number = mark.time.count(frame).and_then(|number| u64::try_from(number).ok());
        let number =
            number.filter(|number| frame.times(i128::from(*number)).minus(mark.time).size() <= self.tick.half());
        let seen = number.and_then(|number| self.seen.get_mut(usize::try_from(number).ok()?));
        let (Some(number), Some(seen)) = (number, seen) else {
            return Err(Error::split(format!("chunk {chunk}: there is a frame at {}, where none belongs", mark.time)));
        };
        if std::mem::replace(seen, true) {
            return Err(Error::split(format!("chunk {chunk}: frame {number} is there twice")));
        }
        let at = frame.times(i128::from(self.range.first) + i128::from(number));
        let name = Name::Frame { chunk, number, at };
        Ok(Some(Item { name, time: start.plus(at), print: mark.print }))
    }
}

/// The packets of the sound.
pub(super) struct Packets<R> {
    marks: Marks<R>,
    count: u64,
}

impl<R: BufRead> Packets<R> {
    pub(super) fn new(marks: Marks<R>) -> Self {
        Self { marks, count: 0 }
    }
}

impl<R: BufRead> Sequence for Packets<R> {
    fn next(&mut self) -> Result<Option<Item>, Error> {
        let Some(mark) = self.marks.next().map_err(|error| Error::marks("audio".into(), error))? else {
            return Ok(None);
        };
        let name = Name::Packet { number: self.count, at: mark.time };
        self.count += 1;
        Ok(Some(Item { name, time: mark.time, print: mark.print }))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::whole("0 16 8", None)]
    #[case::short("0 8", Some("split: chunk 3 has 2 frames instead of 3"))]
    #[case::long("0 8 16 24", Some("split: chunk 3: there is a frame at 0.12 s, where none belongs"))]
    #[case::twice("0 8 8", Some("split: chunk 3: frame 1 is there twice"))]
    #[case::late("0 8 17", Some("split: chunk 3: there is a frame at 0.085 s, where none belongs"))]
    #[case::early("-8 8 16", Some("split: chunk 3: there is a frame at -0.04 s, where none belongs"))]
    #[case::nothing("", Some("split: chunk 3 has 0 frames instead of 3"))]
    fn every_frame_of_a_chunk_is_there_once(#[case] times: &str, #[case] error: Option<&str>) {
        let line = |time| format!("0, -16, {time}, 8, 1, a\n");
        let lines: String = times.split_whitespace().map(line).collect();
        let list = format!("#format: frame checksums\n#tb 0: 1/200\n#stream#, dts\n{lines}");
        let marks = Marks::open(list.as_bytes()).expect("is a list");
        let checked = check(marks, 3, Range { first: 50, frames: 3 }, Time::new(1, 25));
        assert_eq!(checked.err().map(|error| error.to_string()).as_deref(), error);
    }
}
