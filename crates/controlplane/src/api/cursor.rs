//! A place in the list of jobs, as clients hand it back: base64url, and nobody's business what is in it.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use uuid::Uuid;

use crate::{job::JobId, store::Cursor};

/// The time in microseconds and the job's name.
const BYTES: usize = 8 + 16;

/// A cursor as text.
pub(super) fn encode(cursor: Cursor) -> String {
    let time = cursor.created_at.as_microsecond().to_be_bytes();
    URL_SAFE_NO_PAD.encode([&time[..], cursor.id.uuid().as_bytes()].concat())
}

/// A cursor from text.
pub(super) fn decode(text: &str) -> Result<Cursor, &'static str> {
    read(text).ok_or("must be the next_cursor of an earlier answer")
}

fn read(text: &str) -> Option<Cursor> {
    let bytes: [u8; BYTES] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
    let (time, id) = bytes.split_first_chunk()?;
    let created_at = Timestamp::from_microsecond(i64::from_be_bytes(*time)).ok()?;
    Some(Cursor { created_at, id: JobId::from(Uuid::from_slice(id).ok()?) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_cursor_needs_no_escaping() {
        let cursor = Cursor { created_at: Timestamp::now(), id: JobId::random() };
        assert!(encode(cursor).chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)));
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(micros in 0_i64..4_102_444_800_000_000, id: u128) {
            let created_at = Timestamp::from_microsecond(micros).expect("a time");
            let cursor = Cursor { created_at, id: JobId::from(Uuid::from_u128(id)) };
            prop_assert_eq!(decode(&encode(cursor)), Ok(cursor));
        }

        #[test]
        fn no_text_panics(text in "[A-Za-z0-9_=+/ -]{0,40}") {
            let _ = decode(&text);
        }
    }
}
