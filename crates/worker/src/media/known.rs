//! What sources were found to be, for the other parts of the same job on this worker.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use super::Media;
use crate::{folder::Version, input::Location};

/// How many are remembered. A worker has parts of a few jobs at a time.
const MOST: usize = 16;

/// Which source of which job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// Whose it is: of jobs with the same source, each looks for itself.
    pub(crate) job_id: String,
    /// Where it is.
    pub(crate) location: Location,
    /// Which file that is. Of what comes over a network nobody knows whether it is still the same.
    pub(crate) version: Version,
}

/// What was found, the latest last.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<VecDeque<(Key, Media)>>);

impl Known {
    /// What was found there.
    pub(crate) fn get(&self, key: &Key) -> Option<Media> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().find(|(known, _)| known == key).map(|(_, media)| media.clone())
    }

    /// Remembers what was found. The oldest is forgotten for it.
    pub(crate) fn keep(&self, key: Key, media: Media) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(known, _)| *known != key);
        if known.len() == MOST {
            known.pop_front();
        }
        known.push_back((key, media));
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    /// Of a source of so many bytes.
    fn key(job_id: usize, bytes: u64) -> Key {
        let file = tempfile::NamedTempFile::new().expect("a file");
        file.as_file().set_len(bytes).and_then(|()| file.as_file().set_modified(SystemTime::UNIX_EPOCH)).expect("set");
        let version = Version::of(file.path()).expect("is there");
        Key { job_id: job_id.to_string(), location: Location::File("/in/a.mp4".into()), version }
    }

    fn media(bytes: u64) -> Media {
        Media { bytes: Some(bytes), ..Media::default() }
    }

    #[test]
    fn a_source_is_known_to_its_job_until_it_changes() {
        let known = Known::default();
        known.keep(key(0, 1), media(1));
        assert_eq!(known.get(&key(0, 1)), Some(media(1)));
        assert_eq!((known.get(&key(0, 2)), known.get(&key(1, 1))), (None, None));
        known.keep(key(0, 1), media(7));
        assert_eq!(known.get(&key(0, 1)), Some(media(7)));
    }

    #[test]
    fn the_oldest_is_forgotten() {
        let known = Known::default();
        for job in 0..=MOST {
            known.keep(key(job, 1), media(1));
        }
        assert_eq!((known.get(&key(0, 1)), known.get(&key(1, 1))), (None, Some(media(1))));
    }
}
