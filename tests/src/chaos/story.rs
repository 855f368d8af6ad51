//! What one listener is told, and whether it holds together.

use serde_json::Value;

/// Where an event stands among a job's: the number of its status, and the number of the progress since.
pub type Position = (u64, u64);

/// A listener's view of a job so far, over all its connections.
#[derive(Debug, Default)]
pub struct Story {
    last: Option<(Position, Status)>,
    progress: f64,
    id: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Queued,
    Processing,
    Uploading,
    Terminal,
}

impl Story {
    /// The id to resume after.
    #[must_use]
    pub fn last_id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// True once the job's end was told.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.last.is_some_and(|(_, status)| status == Status::Terminal)
    }

    /// Takes the next event, and says what is wrong with it.
    pub fn take(&mut self, id: &str, event: &Value) -> Vec<String> {
        let mut wrong = Vec::new();
        let position = position(id);
        let Some(status) = status(event) else { return vec![format!("unknown status: {event}")] };
        match (position, self.last) {
            (None, _) => wrong.push(format!("no usable id: {id:?} {event}")),
            (Some(position), None) if position.0 > 1 => wrong.push(format!("the story begins at {id}: {event}")),
            (Some(_), None) => {}
            (Some(position), Some((before, was))) => wrong.extend(step(before, was, position, status, event)),
        }
        let progress = event["progress"].as_f64().unwrap_or(-1.0);
        if progress < self.progress {
            wrong.push(format!("progress fell from {} to {progress}: {event}", self.progress));
        }
        self.progress = self.progress.max(progress);
        let position = position.or(self.last.map(|(position, _)| position)).unwrap_or_default();
        self.last = Some((position, status));
        self.id = (!id.is_empty()).then(|| id.to_owned());
        wrong
    }
}

fn step(before: Position, was: Status, now: Position, status: Status, event: &Value) -> Option<String> {
    let told = || format!("{was:?} {before:?}, then {now:?}: {event}");
    if was == Status::Terminal {
        Some(format!("an event after the end: {}", told()))
    } else if now <= before {
        Some(format!("repeated or out of order: {}", told()))
    } else if now.0 > before.0 + 1 {
        Some(format!("a status is missing: {}", told()))
    } else if now.0 == before.0 && status != was {
        Some(format!("another status under the same number: {}", told()))
    } else {
        None
    }
}

/// Reads `3.17`.
fn position(id: &str) -> Option<Position> {
    let (milestone, rest) = id.split_once('.').unwrap_or((id, "0"));
    // A third number tells how far the job was when that was more than the event itself says.
    let update = rest.split_once('.').map_or(rest, |(update, _)| update);
    Some((milestone.parse().ok()?, update.parse().ok()?))
}

fn status(event: &Value) -> Option<Status> {
    match event["status"].as_str()? {
        "JOB_STATUS_QUEUED" => Some(Status::Queued),
        "JOB_STATUS_PROCESSING" => Some(Status::Processing),
        "JOB_STATUS_UPLOADING" => Some(Status::Uploading),
        "JOB_STATUS_COMPLETED" | "JOB_STATUS_FAILED" | "JOB_STATUS_CANCELLED" => Some(Status::Terminal),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(status: &str, progress: f64) -> Value {
        json!({"status": format!("JOB_STATUS_{status}"), "progress": progress})
    }

    fn wrongs(events: &[(&str, &str, f64)]) -> usize {
        let mut story = Story::default();
        events.iter().map(|(id, status, progress)| story.take(id, &event(status, *progress)).len()).sum()
    }

    #[test]
    fn a_whole_story_is_right() {
        let events = [
            ("1.0", "QUEUED", 0.0),
            ("2.0", "PROCESSING", 0.0),
            ("2.4", "PROCESSING", 30.0),
            ("3.0", "QUEUED", 30.0),
            ("4.0", "PROCESSING", 30.0),
            ("5.0", "UPLOADING", 100.0),
            ("6.0", "COMPLETED", 100.0),
        ];
        assert_eq!(wrongs(&events), 0);
    }

    #[test]
    fn what_breaks_a_story_is_seen() {
        let begin = ("1.0", "QUEUED", 5.0);
        for (id, status, progress) in [
            ("1.0", "QUEUED", 5.0),
            ("3.0", "PROCESSING", 5.0),
            ("1.1", "PROCESSING", 5.0),
            ("2.0", "PROCESSING", 4.0),
            ("x", "PROCESSING", 5.0),
            ("2.0", "OTHER", 5.0),
        ] {
            assert_eq!(wrongs(&[begin, (id, status, progress)]), 1, "{id} {status} {progress}");
        }
        assert_eq!(wrongs(&[begin, ("2.0", "FAILED", 5.0), ("3.0", "FAILED", 5.0)]), 1);
        assert_eq!(wrongs(&[("2.0", "PROCESSING", 0.0)]), 1);
    }
}
