//! A source is encoded to a file and to a ladder, and what came out is compared with what went in.

use std::path::Path;

use e2e::{Sandbox, job};
use serde_json::json;
use url::Url;

use super::facts::{self, Facts};

/// Times are rounded to a container's clock, in seconds.
const CLOCK: f64 = 0.006;

/// Sound is cut into frames of at most 46 ms, and encoders fill the first, in seconds.
const SOUND_FRAME: f64 = 0.1;

/// Shorter than anybody would want, in seconds: even a second has several seams.
const CHUNK: &str = "0.25";

/// What must come out of a source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Promise {
    width: u64,
    height: u64,
    channels: Option<u64>,
    clock: f64,
    keeps_offset: bool,
    steady_ladder: bool,
    in_one_piece: bool,
}

/// A picture of this shape, and no sound.
pub(super) const fn shows(width: u64, height: u64) -> Promise {
    Promise {
        width,
        height,
        channels: None,
        clock: CLOCK,
        keeps_offset: true,
        steady_ladder: false,
        in_one_piece: false,
    }
}

impl Promise {
    /// Sound with this many channels.
    pub(super) const fn sounds(self, channels: u64) -> Self {
        Self { channels: Some(channels), ..self }
    }

    /// Frames may be shown this much earlier or later, in seconds: the container is not exact.
    pub(super) const fn within(self, clock: f64) -> Self {
        Self { clock, ..self }
    }

    /// Where the sound begins in the source cannot be told from its container.
    pub(super) const fn with_vague_start(self) -> Self {
        Self { keeps_offset: false, ..self }
    }

    /// The source's frames are not evenly spaced, though the ladder's are.
    pub(super) const fn with_steady_ladder(self) -> Self {
        Self { steady_ladder: true, ..self }.in_one_piece()
    }

    /// The source cannot be split.
    pub(super) const fn in_one_piece(self) -> Self {
        Self { in_one_piece: true, ..self }
    }

    /// Encodes the source and looks at everything.
    pub(super) async fn holds(self, source: &Path) {
        let sandbox = Sandbox::new();
        let worker = sandbox.worker().start().await;
        let plane = sandbox.plane(&[worker.address()]).env("SPLIT", "auto").env("SPLIT_CHUNK_SECONDS", CHUNK);
        let plane = plane.start().await;
        let input = sandbox.input(source);
        let (mut single, ladder) =
            (job(&input, "480p_h264", "local", "one.mp4"), job(&input, "hls_720p_abr", "local", "hls"));
        single["split"] = json!("off");
        let whole = plane.accepted(&single).await;
        let end = async { plane.events(&whole).await.last().await };
        let (one, master) = tokio::join!(end, plane.completed(&ladder));
        assert_eq!(one["status"], "JOB_STATUS_COMPLETED", "{one}");
        let (_, certificate) = plane.get(&format!("/api/v1/jobs/{whole}/certificate")).await;
        let split = plane.accepted(&job(&input, "480p_h264", "local", "split.mp4")).await;
        let last = plane.events(&split).await.last().await;
        assert_eq!(last["status"], "JOB_STATUS_COMPLETED", "{last}");
        let split = plane.job(&split).await;
        assert_eq!(split["whole"].is_string(), self.in_one_piece, "{split}");
        let local = |url: String| Url::parse(&url).expect("a URL").to_file_path().expect("a file");
        let (one, master) = (sandbox.output_dir().join("one.mp4"), local(master));
        let source = facts::of_source(source).await;
        let one = facts::of_output(&one).await;
        let split = facts::of_output(&sandbox.output_dir().join("split.mp4")).await;
        assert_eq!(split, one, "in several pieces as in one");
        let (frames, counted) = (json!(one.frames.len()), &certificate["renditions"][0]);
        assert_eq!((&counted["frames_expected"], &counted["frames_found"]), (&frames, &frames));
        self.compare(&source, &one, self.at_height(480), self.channels);
        self.compare_frames(&source.frames, &one.frames);
        for (name, width, height) in [("720p", 1280, 720), ("480p", 854, 480), ("360p", 640, 360)] {
            let variant = facts::of_output(&master.with_file_name(name).join("playlist.m3u8")).await;
            self.compare(&source, &variant, self.within_box(width, height), self.channels.map(|_| 2));
            if self.steady_ladder {
                assert_steady(&source.frames, &variant.frames);
            } else {
                self.compare_frames(&source.frames, &variant.frames);
            }
        }
        sandbox.clean().await;
    }

    fn compare(&self, source: &Facts, found: &Facts, size: (u64, u64), channels: Option<u64>) {
        assert!(is_close(found.size, size), "{size:?} expected: {found:?}");
        assert!(found.pixel == "1:1" && !found.is_turned, "{found:?}");
        assert_eq!(found.channels, channels, "{found:?}");
        if let (true, Some(before), Some(after)) = (self.keeps_offset, source.sound_after, found.sound_after) {
            assert!(
                (before - after).abs() < SOUND_FRAME,
                "the sound began {before} s after the picture, now {after} s"
            );
        }
    }

    /// Every frame is there, at its time.
    fn compare_frames(&self, source: &[Option<f64>], found: &[Option<f64>]) {
        assert_eq!(found.len(), source.len(), "frames: {source:?} became {found:?}");
        for (before, after) in source.iter().zip(found) {
            // Some old containers give some frames no time.
            if let (Some(before), Some(after)) = (before, after)
                && source.iter().all(Option::is_some)
            {
                assert!((before - after).abs() <= self.clock, "{before} became {after}: {source:?} became {found:?}");
            }
        }
    }

    fn at_height(&self, height: u64) -> (u64, u64) {
        (height * self.width / self.height, height)
    }

    fn within_box(&self, width: u64, height: u64) -> (u64, u64) {
        if width * self.height > height * self.width {
            self.at_height(height)
        } else {
            (width, width * self.height / self.width)
        }
    }
}

/// Frames are evenly spaced, and go on as long as the source's.
fn assert_steady(source: &[Option<f64>], found: &[Option<f64>]) {
    let times: Vec<f64> = found.iter().flatten().copied().collect();
    let gap = times[1] - times[0];
    assert!(times.windows(2).all(|pair| (pair[1] - pair[0] - gap).abs() <= CLOCK), "{found:?}");
    let (last, end) = (times.last().expect("frames"), source.iter().flatten().next_back().expect("frames"));
    assert!((last - end).abs() <= gap + CLOCK, "{source:?} became {found:?}");
}

/// Sides are even, so one may be up to two pixels off.
fn is_close(found: (u64, u64), expected: (u64, u64)) -> bool {
    let even = found.0.is_multiple_of(2) && found.1.is_multiple_of(2);
    even && found.0.abs_diff(expected.0) <= 2 && found.1.abs_diff(expected.1) <= 2
}
