//! Small real jobs: a source, its whole encode, and its parts.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use preset::{Audio, Channels, Effort, Fit, Packaging, Preset, Rate, Rendition};
use proto::v1::{Chunk, FrameGrid, Plan};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::{
    encoder::{self, Limits, join},
    media::{self, Input, Media},
    permit::Permit,
    proof::{self, Kind, Parts, Proved, Track},
    tool::Tools,
};

pub(crate) const LIMITS: Limits = Limits { stall: Duration::from_mins(2), total: Duration::from_mins(4) };

const RENDITIONS: &[Rendition] = &[rung(144, 120), rung(96, 60)];

const fn rung(height: u32, average_kbps: u32) -> Rendition {
    Rendition { fit: Fit::Height(height), rate: Rate::Bitrate { average_kbps, ceiling: None } }
}

const fn preset(packaging: Packaging, renditions: &'static [Rendition]) -> Preset {
    let audio = Some(Audio { kbps: 96, channels: Channels::Stereo });
    Preset { name: "test", summary: "", packaging, effort: Effort::Fast, renditions, audio }
}

pub(crate) const MP4: Preset =
    preset(Packaging::Mp4, &[Rendition { fit: Fit::Height(96), rate: Rate::Quality { crf: 30 } }]);
pub(crate) const HLS: Preset = preset(Packaging::Hls { segment_seconds: 2, ladder: false }, RENDITIONS.split_at(1).0);
pub(crate) const LADDER: Preset = preset(Packaging::Hls { segment_seconds: 2, ladder: true }, RENDITIONS);
pub(crate) const DASH: Preset = preset(Packaging::Dash { segment_seconds: 2 }, RENDITIONS);

/// The programs on this machine.
pub(crate) fn tools() -> Tools {
    Tools { ffmpeg: "ffmpeg".into(), ffprobe: "ffprobe".into() }
}

pub(crate) fn ffmpeg(directory: &Path, args: &[&str]) {
    let run = Command::new("ffmpeg").args(["-v", "error", "-nostdin", "-y"]).args(args).current_dir(directory).output();
    let run = run.expect("ffmpeg runs");
    assert!(run.status.success(), "{args:?}: {}", String::from_utf8_lossy(&run.stderr));
}

/// A source and what is made of it, in a folder of its own.
pub(crate) struct Job {
    pub(crate) folder: TempDir,
    pub(crate) preset: &'static Preset,
    pub(crate) plan: Plan,
    pub(crate) source: PathBuf,
}

impl Job {
    /// A source of evenly spaced frames whose sound is late by so many milliseconds, or whose picture is where that is
    /// negative. `edges` are the first frames of the chunks, and the number of all.
    pub(crate) fn new(
        preset: &'static Preset,
        (numerator, denominator): (u32, u32),
        late_ms: i64,
        edges: &[u64],
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let frames = edges.last().expect("there are edges").to_string();
        let (rate, late) = (format!("{numerator}/{denominator}"), |ms: i64| format!("{}ms", ms.max(0)));
        let (picture, sound) = (format!("testsrc=s=160x96:r={rate}"), "sine=f=440:r=48000:b=4");
        let length = format!(
            "{:.6}",
            f64::from(u32::try_from(edges[edges.len() - 1]).expect("few")) * f64::from(denominator)
                / f64::from(numerator)
        );
        ffmpeg(
            folder.path(),
            &["-f", "lavfi", "-i", &picture, "-frames:v", &frames, "-c:v", "libx264", "-preset", "ultrafast", "v.mp4"],
        );
        ffmpeg(folder.path(), &["-f", "lavfi", "-i", sound, "-t", &length, "-c:a", "flac", "a.mkv"]);
        ffmpeg(
            folder.path(),
            &[
                "-itsoffset",
                &late(-late_ms),
                "-i",
                "v.mp4",
                "-itsoffset",
                &late(late_ms),
                "-i",
                "a.mkv",
                "-map",
                "0:v",
                "-map",
                "1:a",
                "-c:v",
                "copy",
                "-c:a",
                "aac",
                "-movie_timescale",
                "1000000",
                "source.mp4",
            ],
        );
        let grid = FrameGrid {
            rate_numerator: numerator,
            rate_denominator: denominator,
            start_us: (-late_ms).max(0) * 1000,
            frames: *edges.last().expect("there are edges"),
            ..FrameGrid::default()
        };
        let chunk = |pair: &[u64]| Chunk { first_frame: pair[0], frames: pair[1] - pair[0], ..Chunk::default() };
        let plan = Plan { grid: Some(grid), chunks: edges.windows(2).map(chunk).collect(), has_audio: true };
        let source = folder.path().join("source.mp4");
        for name in ["parts", "lists", "output", "whole", "proof"] {
            std::fs::create_dir(folder.path().join(name)).expect("creates");
        }
        Self { folder, preset, plan, source }
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn video(&self, chunk: usize, rendition: usize) -> PathBuf {
        self.at(&format!("parts/chunk-{chunk:05}/v{rendition}.mp4"))
    }

    pub(crate) fn audio(&self) -> PathBuf {
        self.at("parts/audio/a.mp4")
    }

    pub(crate) async fn probe(&self) -> Media {
        let input = self.input();
        media::probe(&tools(), &input, LIMITS.total, &CancellationToken::new()).await.expect("can be probed")
    }

    fn input(&self) -> Input {
        Input { args: vec!["-i".into(), self.source.clone().into()], proxy: None }
    }

    /// Encodes the whole.
    pub(crate) async fn whole(&self) -> PathBuf {
        let (input, source) = (self.input(), self.probe().await);
        let video = source.video.as_ref().expect("has video");
        let directory = self.at("whole");
        let order =
            encoder::Order { preset: self.preset, input: &input, source: &source, video, directory: &directory };
        encoder::encode(&tools(), &order, &LIMITS, |_| (), &CancellationToken::new()).await.expect("encodes").output
    }

    /// Encodes the parts, with their marks.
    pub(crate) async fn parts(&self) {
        for number in 0..self.plan.chunks.len() {
            std::fs::create_dir(self.at(&format!("parts/chunk-{number:05}"))).expect("creates");
            for rendition in 0..self.preset.renditions.len() {
                self.chunk(number, rendition);
                self.marks(&self.video(number, rendition), Kind::Output { transport_stream: false }).await;
            }
        }
        std::fs::create_dir(self.at("parts/audio")).expect("creates");
        let audio = self.audio().display().to_string();
        let sound = ["-c:a", "aac", "-b:a", "96k", "-ac", "2", "-movie_timescale", "1000000"];
        let args = [&["-i", "source.mp4", "-map", "0:a:0"][..], &sound, &[&*audio]].concat();
        ffmpeg(self.folder.path(), &args);
        self.marks(&self.audio(), Kind::Audio).await;
    }

    pub(crate) async fn marks(&self, file: &Path, kind: Kind) {
        let files = [(file.to_owned(), file.with_extension("marks"))];
        proof::marks(&tools(), &files, kind, &LIMITS, &Permit::unleased()).await.expect("can be read");
    }

    fn chunk(&self, number: usize, rendition: usize) {
        let (grid, chunk) = (self.plan.grid.expect("has a grid"), self.plan.chunks[number]);
        #[expect(clippy::cast_precision_loss, reason = "a test has few frames")]
        let edge = |frame: u64| {
            let frame = (frame as f64 - 0.5) * f64::from(grid.rate_denominator) / f64::from(grid.rate_numerator);
            frame + grid.start_us as f64 / 1e6
        };
        let (from, to) = (edge(chunk.first_frame).max(0.0), edge(chunk.first_frame + chunk.frames));
        let height = match self.preset.renditions[rendition].fit {
            Fit::Height(height) => height,
            Fit::Within(size) => size.height,
        };
        let filter =
            format!("trim=start={from:.6}:end={to:.6},setpts=PTS-STARTPTS,scale=-2:{height},setsar=1,format=yuv420p");
        let ticks = if matches!(self.preset.packaging, Packaging::Mp4) { 8 } else { 1 };
        let clock = format!("{}/{}", grid.rate_denominator, grid.rate_numerator * ticks);
        let scale = (grid.rate_numerator * 8).to_string();
        let out = self.video(number, rendition).display().to_string();
        let mut args = vec!["-i", "source.mp4", "-map", "0:v:0", "-vf", &filter, "-c:v", "libx264", "-preset", "fast"];
        args.extend(["-threads", "1", "-fps_mode", "vfr", "-enc_time_base", &clock, "-video_track_timescale", &scale]);
        if !matches!(self.preset.packaging, Packaging::Mp4) {
            args.extend(["-force_key_frames", "expr:gte(t,n_forced*2)"]);
        }
        args.push(&out);
        ffmpeg(self.folder.path(), &args);
    }

    /// The parts as the join takes them.
    pub(crate) fn files(&self) -> Vec<Vec<PathBuf>> {
        let chunks = |rendition| (0..self.plan.chunks.len()).map(|chunk| self.video(chunk, rendition)).collect();
        (0..self.preset.renditions.len()).map(chunks).collect()
    }

    pub(crate) async fn join(&self) -> PathBuf {
        self.join_files(&self.files()).await
    }

    pub(crate) async fn join_files(&self, video: &[Vec<PathBuf>]) -> PathBuf {
        let (lists, directory) = (self.at("lists"), self.at("output"));
        let audio = Some(self.audio()).filter(|_| self.plan.has_audio);
        let order = join::Order {
            preset: self.preset,
            plan: &self.plan,
            video,
            audio: audio.as_deref(),
            lists: &lists,
            directory: &directory,
        };
        join::join(&tools(), &order, &LIMITS, |_| (), &CancellationToken::new()).await.expect("joins").0
    }

    /// The lists of the parts as the proof takes them.
    pub(crate) fn lists(&self) -> Parts {
        let list = |files: Vec<PathBuf>| files.into_iter().map(|file| file.with_extension("marks")).collect();
        let video = self.files().into_iter().map(list).collect();
        let audio = Some(self.audio().with_extension("marks"));
        Parts { plan: self.plan.clone(), video, audio: audio.filter(|_| self.plan.has_audio) }
    }

    /// The tracks of the output, by the names of its files.
    pub(crate) fn tracks(&self) -> Vec<Track> {
        let output = self.at("output");
        let pieces = |folder: &str, prefix: &str, end: &str| {
            let files =
                std::fs::read_dir(output.join(folder)).expect("is there").map(|file| file.expect("reads").path());
            let fits = |file: &PathBuf| {
                let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                name.starts_with(prefix) && name.ends_with(end)
            };
            let mut files: Vec<_> = files.filter(fits).collect();
            files.sort();
            files
        };
        let has_audio = self.plan.has_audio;
        let track = |pieces, rendition, audio| Track { init: None, pieces, rendition, audio: audio && has_audio };
        match self.preset.packaging {
            Packaging::Mp4 => vec![track(vec![output.join("output.mp4")], Some(0), true)],
            Packaging::Hls { ladder: false, .. } => vec![track(pieces("", "segment", ".ts"), Some(0), true)],
            Packaging::Hls { ladder: true, .. } => ["144p", "96p"]
                .iter()
                .enumerate()
                .map(|(number, folder)| track(pieces(folder, "segment", ".ts"), Some(number), true))
                .collect(),
            Packaging::Dash { .. } => (0..if has_audio { 3 } else { 2 })
                .map(|number| Track {
                    init: Some(output.join(format!("init_{number}.m4s"))),
                    ..track(
                        pieces("", &format!("chunk_{number}_"), ".m4s"),
                        Some(number).filter(|number| *number < 2),
                        number == 2,
                    )
                })
                .collect(),
        }
    }

    pub(crate) async fn prove(&self) -> Result<Proved, proof::Error> {
        let (folder, tracks) = (self.at("proof"), self.tracks());
        let permit = Permit::unleased();
        proof::prove(&tools(), self.preset.packaging, &self.lists(), &tracks, &folder, &LIMITS, &permit).await
    }
}
