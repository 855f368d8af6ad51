//! What changes, as control planes tell each other.

use serde::{Deserialize, Serialize};

use crate::{
    job::JobId,
    store::{Change, StoredEvent},
};

/// The channel, the same for all.
pub(super) const CHANNEL: &str = "flux_jobs";

/// The server takes less than 8000 bytes.
const MAX_BYTES: usize = 7999;

/// A change on the wire.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
enum Notice {
    Queued,
    Job { id: JobId },
    Cancel { id: JobId },
    Progress { id: JobId, number: u32, update: u32, json: String },
    Callback,
    Unknown,
}

/// The words for a change.
pub(super) fn write(change: &Change) -> String {
    let notice = match change {
        Change::Queued => Notice::Queued,
        Change::Job(id) => Notice::Job { id: *id },
        Change::Cancel(id) => Notice::Cancel { id: *id },
        Change::Progress { id, event, update } => {
            Notice::Progress { id: *id, number: event.number, update: *update, json: event.json.clone() }
        }
        Change::Callback => Notice::Callback,
        Change::Unknown => Notice::Unknown,
    };
    let text = encode(&notice);
    match notice {
        // Too long: the listener has to look for itself.
        Notice::Progress { id, .. } if text.len() > MAX_BYTES => encode(&Notice::Job { id }),
        Notice::Queued
        | Notice::Job { .. }
        | Notice::Cancel { .. }
        | Notice::Progress { .. }
        | Notice::Callback
        | Notice::Unknown => text,
    }
}

fn encode(notice: &Notice) -> String {
    serde_json::to_string(notice).expect("texts and numbers are always JSON")
}

/// The change that the words stand for. Those of another version mean that anything may have changed.
pub(super) fn read(text: &str) -> Change {
    match serde_json::from_str(text) {
        Ok(Notice::Queued) => Change::Queued,
        Ok(Notice::Job { id }) => Change::Job(id),
        Ok(Notice::Cancel { id }) => Change::Cancel(id),
        Ok(Notice::Progress { id, number, update, json }) => {
            Change::Progress { id, event: StoredEvent { number, json }, update }
        }
        Ok(Notice::Callback) => Change::Callback,
        Ok(Notice::Unknown) | Err(_) => Change::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(json: String) -> Change {
        Change::Progress { id: JobId::random(), event: StoredEvent { number: 2, json }, update: 7 }
    }

    #[test]
    fn each_change_is_read_as_it_was_written() {
        let id = JobId::random();
        let changes = [
            Change::Queued,
            Change::Job(id),
            Change::Cancel(id),
            progress("{\"a\":\"ü\"}".to_owned()),
            Change::Callback,
            Change::Unknown,
        ];
        for change in changes {
            assert_eq!(read(&write(&change)), change);
        }
        assert_eq!(read("{\"change\":\"later\"}"), Change::Unknown);
    }

    #[test]
    fn an_event_that_is_too_long_is_left_out() {
        let text = write(&progress("x".repeat(MAX_BYTES)));
        assert!(text.len() <= MAX_BYTES && matches!(read(&text), Change::Job(_)), "{text}");
    }
}
