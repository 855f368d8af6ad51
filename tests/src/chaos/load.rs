//! Which jobs are asked for. Like the faults, a function of the seed.

use std::time::Duration;

use serde_json::{Value, json};

use super::seed::Dice;

/// Which source a job has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// 320x180, a second.
    Tiny,
    /// 320x180, three seconds.
    Short,
    /// 640x360, six seconds.
    Middle,
    /// 640x360, fifteen seconds: long enough to be struck in the middle.
    Long,
    /// Noise whose encode is larger than one part of a multipart upload.
    Noise,
    /// Not there.
    Missing,
    /// Not a video.
    Garbage,
}

impl Source {
    /// Those that can be encoded.
    pub const GOOD: [Self; 5] = [Self::Tiny, Self::Short, Self::Middle, Self::Long, Self::Noise];

    /// Name of the file.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Self::Tiny => "tiny.mp4",
            Self::Short => "short.mp4",
            Self::Middle => "middle.mp4",
            Self::Long => "long.mp4",
            Self::Noise => "noise.mp4",
            Self::Missing => "missing.mp4",
            Self::Garbage => "garbage.mp4",
        }
    }

    /// False where every worker must refuse it.
    #[must_use]
    pub fn is_good(self) -> bool {
        match self {
            Self::Tiny | Self::Short | Self::Middle | Self::Long | Self::Noise => true,
            Self::Missing | Self::Garbage => false,
        }
    }
}

/// One job to ask for, and what is done with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// From 0.
    pub number: u64,
    /// What is encoded.
    pub source: Source,
    /// Whether the source comes over HTTP, or is a file.
    pub over_http: bool,
    /// Name of the preset.
    pub preset: &'static str,
    /// `s3` or `local`.
    pub storage: &'static str,
    /// 0 to 100.
    pub priority: u64,
    /// How long after its acceptance it is cancelled, if it is.
    pub cancel_after: Option<Duration>,
    /// Whether somebody is to be called.
    pub callback: bool,
    /// How many listen to it.
    pub listeners: u64,
}

const PRESETS: [&str; 6] = ["480p_h264", "480p_h264", "480p_h264", "720p_h264", "hls_720p", "hls_720p_abr_video_only"];

impl Order {
    /// The job of this number.
    #[must_use]
    pub fn new(seed: u64, number: u64) -> Self {
        let mut dice = Dice::new(seed, 1_000 + number);
        let source = source(&mut dice);
        // What is long is cheap otherwise, so that two cores hold the load.
        let costly = matches!(source, Source::Long | Source::Noise);
        let preset = if costly { "480p_h264" } else { dice.pick(&PRESETS) };
        let storage = if source == Source::Noise { "s3" } else { dice.pick(&["local", "s3"]) };
        Self {
            number,
            source,
            over_http: dice.percent(30),
            preset,
            storage,
            priority: dice.below(101),
            cancel_after: (source.is_good() && dice.percent(10)).then(|| dice.millis(0, 8_000)),
            callback: dice.percent(50),
            listeners: *dice.pick(&[0, 1, 1, 1, 2]),
        }
    }

    /// The name under which it is asked for, however often.
    #[must_use]
    pub fn key(&self) -> String {
        format!("chaos-{}", self.number)
    }

    /// Where the result goes: to no other job's place.
    #[must_use]
    pub fn path(&self) -> String {
        let ending = if self.preset.starts_with("hls_") { "" } else { ".mp4" };
        format!("jobs/{:06}{ending}", self.number)
    }

    /// The file that players are given, below the storage.
    #[must_use]
    pub fn entry(&self) -> String {
        let path = self.path();
        match self.preset {
            "hls_720p" => format!("{path}/playlist.m3u8"),
            "hls_720p_abr_video_only" => format!("{path}/master.m3u8"),
            _ => path,
        }
    }

    /// The request. `files` and `http` are the URLs of the sources' folder, `callbacks` of the receiver.
    #[must_use]
    pub fn request(&self, files: &str, http: &str, callbacks: &str) -> Value {
        let base = if self.over_http { http } else { files };
        let mut request = json!({
            "input_url": format!("{base}/{}", self.source.file()),
            "preset": self.preset,
            "output": {"storage": self.storage, "path": self.path()},
            "priority": self.priority,
        });
        if self.callback {
            request["callback_url"] = json!(format!("{callbacks}/{}", self.number));
        }
        request
    }
}

fn source(dice: &mut Dice) -> Source {
    match dice.below(100) {
        0..30 => Source::Tiny,
        30..60 => Source::Short,
        60..76 => Source::Middle,
        76..88 => Source::Long,
        88..92 => Source::Noise,
        92..96 => Source::Missing,
        _ => Source::Garbage,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_jobs_again() {
        assert_eq!(Order::new(42, 7), Order::new(42, 7));
        assert!((0..20).any(|number| Order::new(42, number) != Order::new(43, number)));
    }

    #[test]
    fn every_kind_of_job_is_asked_for() {
        let orders: Vec<_> = (0..1_000).map(|number| Order::new(42, number)).collect();
        for source in [&Source::GOOD[..], &[Source::Missing, Source::Garbage]].concat() {
            assert!(orders.iter().any(|order| order.source == source), "{source:?}");
        }
        for preset in PRESETS {
            assert!(orders.iter().any(|order| order.preset == preset), "{preset}");
        }
        assert!(orders.iter().any(|order| order.source == Source::Noise && order.storage == "s3"));
        assert!(orders.iter().all(|order| order.source.is_good() || order.cancel_after.is_none()));
    }
}
