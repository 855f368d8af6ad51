//! Follows what is found along what is expected. Pure.

use std::mem;

use super::{
    Error,
    expected::{Item, Sequence},
    marks::Mark,
    time::Time,
};

/// Follows one stream of an output.
pub(super) struct Follower<'a> {
    expected: Box<dyn Sequence + Send + 'a>,
    /// What must come now.
    now: Option<Item>,
    /// What has come last.
    last: Option<Item>,
    /// How far a time may be off.
    tolerance: Time,
    /// How far all times of the output are later than expected.
    shift: Time,
    /// How many have come.
    count: u64,
}

impl<'a> Follower<'a> {
    pub(super) fn new(mut expected: impl Sequence + Send + 'a, tolerance: Time) -> Result<Self, Error> {
        let now = expected.next()?;
        Ok(Self { expected: Box::new(expected), now, last: None, tolerance, shift: Time::default(), count: 0 })
    }

    /// How much later than expected a mark is that should be the first one.
    pub(super) fn shift_of(&self, first: &Mark) -> Time {
        self.now.as_ref().map_or_else(Time::default, |item| first.time.minus(item.time))
    }

    /// All times of the output are later by this.
    pub(super) fn shifted(self, shift: Time) -> Self {
        Self { shift, ..self }
    }

    /// What has come must be what is expected now.
    pub(super) fn take(&mut self, found: &Mark) -> Result<(), Error> {
        let time = found.time.minus(self.shift);
        let Some(item) = mem::take(&mut self.now) else {
            return Err(Error::split(match &self.last {
                Some(last) => format!("{}: there is more behind it, at {time}", last.name),
                None => format!("there is something at {time}, where nothing belongs"),
            }));
        };
        if item.print != found.print {
            return Err(self.explain(&item, found));
        }
        self.now = self.expected.next()?;
        if time.minus(item.time).size() > self.tolerance {
            return Err(Error::split(format!("{}: it is at {time} instead of {}", item.name, item.time)));
        }
        self.last = Some(item);
        self.count += 1;
        Ok(())
    }

    /// Nothing more comes. Answers how many have come.
    pub(super) fn finish(self) -> Result<u64, Error> {
        match self.now {
            None => Ok(self.count),
            Some(item) => Err(Error::split(format!("{}: it and all behind it are missing", item.name))),
        }
    }

    /// Why something else is in the place of `item`. What has come may be expected later.
    fn explain(&mut self, item: &Item, found: &Mark) -> Error {
        if let Some(last) = self.last.as_ref().filter(|last| last.print == found.print) {
            return Error::split(format!("{}: it is there twice", last.name));
        }
        let mut more = 0_u64;
        loop {
            return match self.expected.next() {
                Ok(Some(later)) if later.print == found.print && more == 0 => {
                    Error::split(format!("{} is missing", item.name))
                }
                Ok(Some(later)) if later.print == found.print => {
                    Error::split(format!("{} and {more} more are missing", item.name))
                }
                Ok(Some(_)) => {
                    more += 1;
                    continue;
                }
                Ok(None) => Error::split(format!("{}: something else is in its place", item.name)),
                Err(error) => error,
            };
        }
    }
}
