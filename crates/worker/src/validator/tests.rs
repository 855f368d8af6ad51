//! Outputs that real ffmpeg makes, whole and broken: each code has a test that causes it.

use std::{path::PathBuf, process::Command, sync::OnceLock};

use preset::{Audio as Sound, Channels, Effort, Fit, Packaging, Rate, Rendition, Size};
use tempfile::TempDir;

use super::{report::Severity, *};
use crate::media::{self, Audio, Input, Video};

mod dash;
mod hls;
mod judging;
mod mp4;

const SOUND: Option<Sound> = Some(Sound { kbps: 64, channels: Channels::Source });
const LADDER: &[Rendition] = &[rung(160, 90, 200), rung(128, 72, 100)];

/// One file.
const MP4: Preset = preset(Packaging::Mp4, &[Rendition { fit: Fit::Height(90), rate: Rate::Quality { crf: 30 } }]);

const fn preset(packaging: Packaging, renditions: &'static [Rendition]) -> Preset {
    Preset { name: "test", summary: "", packaging, effort: Effort::Fast, renditions, audio: SOUND }
}

const fn rung(width: u32, height: u32, average_kbps: u32) -> Rendition {
    Rendition { fit: Fit::Within(Size { width, height }), rate: Rate::Bitrate { average_kbps, ceiling: None } }
}

/// A 5.28 s clip with sound.
pub(super) fn source() -> Media {
    let video = Video { duration: Some(5.28), ..Video::sized(1280, 720) };
    let audio = Audio { index: 1, codec: "aac".into(), channels: Some(2), start: Some(0.0), duration: Some(5.25) };
    Media { duration: Some(5.28), video: Some(video), has_even_frames: true, audio: Some(audio), ..Media::default() }
}

/// Names and contents.
type Files = Vec<(String, Vec<u8>)>;

/// A folder with a source and an output.
struct Bench {
    folder: TempDir,
    level: Level,
    timeout: Duration,
    tools: Tools,
}

impl Bench {
    fn empty() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            level: Level::Standard,
            timeout: Duration::from_secs(30),
            tools: Tools { ffmpeg: "ffmpeg".into(), ffprobe: "ffprobe".into() },
        }
    }

    /// A source of five seconds with sound.
    fn new() -> Self {
        static FILES: OnceLock<Files> = OnceLock::new();
        let inputs = "-f lavfi -i testsrc2=s=320x180:r=25:d=5 -f lavfi -i sine=d=5";
        Self::copy_of(&FILES, || Self::with_source(inputs))
    }

    /// What `make` makes, which is made once for all tests.
    fn copy_of(files: &'static OnceLock<Files>, make: impl FnOnce() -> Self) -> Self {
        let bench = Self::empty();
        for (name, content) in files.get_or_init(|| make().files("")) {
            let path = bench.path(name);
            std::fs::create_dir_all(path.parent().expect("has a folder")).expect("made");
            std::fs::write(path, content).expect("written");
        }
        bench
    }

    fn files(&self, folder: &str) -> Files {
        let entries = std::fs::read_dir(self.path(folder)).expect("there").map(|entry| entry.expect("readable"));
        let read = |entry: std::fs::DirEntry| {
            let name = PathBuf::from(folder).join(entry.file_name()).into_os_string().into_string().expect("text");
            if entry.path().is_dir() {
                self.files(&name)
            } else {
                vec![(name, std::fs::read(entry.path()).expect("readable"))]
            }
        };
        entries.flat_map(read).collect()
    }

    fn with_source(inputs: &str) -> Self {
        let bench = Self::empty();
        let encode = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 25 -c:a aac -movflags +faststart";
        bench.ffmpeg(&format!("{inputs} {encode} source.mp4"));
        bench
    }

    /// Encodes the source as [`MP4`] says, with further arguments that may say otherwise.
    fn mp4(otherwise: &str) -> Self {
        let bench = Self::new();
        bench.encode_mp4(otherwise);
        bench
    }

    fn encode_mp4(&self, otherwise: &str) {
        let as_told = "-vf scale=160:90,setsar=1 -c:v libx264 -preset ultrafast -fps_mode vfr -c:a aac";
        self.ffmpeg(&format!("-i source.mp4 {as_told} {otherwise} output.mp4"));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn ffmpeg(&self, args: &str) {
        let args = args.split_whitespace();
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.current_dir(&self.folder).args(["-v", "fatal", "-nostdin", "-y"]).args(args);
        assert!(ffmpeg.status().expect("ffmpeg runs").success());
    }

    /// Replaces text in a file.
    fn edit(&self, name: &str, part: &str, instead: &str) {
        let text = std::fs::read_to_string(self.path(name)).expect("there");
        assert!(text.contains(part), "{part:?} is not in {text}");
        std::fs::write(self.path(name), text.replace(part, instead)).expect("written");
    }

    /// Cuts a file to a part of its length.
    fn cut(&self, name: &str, keep_percent: usize) {
        let content = std::fs::read(self.path(name)).expect("there");
        std::fs::write(self.path(name), &content[..content.len() * keep_percent / 100]).expect("written");
    }

    /// Overwrites a part of a file.
    fn flip(&self, name: &str, at_percent: usize, count: usize) {
        let mut content = std::fs::read(self.path(name)).expect("there");
        let start = content.len() * at_percent / 100;
        content[start..start + count].iter_mut().for_each(|byte| *byte ^= 0xa5);
        std::fs::write(self.path(name), content).expect("written");
    }

    async fn probe(&self, name: &str) -> Media {
        let input = Input { args: probe::input(None, &[&self.path(name)]), proxy: None };
        let cancel = CancellationToken::new();
        media::probe(&self.tools, &input, self.timeout, &cancel).await.expect("readable")
    }

    async fn judge(&self, preset: &Preset, output: &str) -> Result<Report, Error> {
        let source = self.probe("source.mp4").await;
        self.judge_against(&source, preset, output, &CancellationToken::new()).await
    }

    async fn judge_against(
        &self,
        source: &Media,
        preset: &Preset,
        output: &str,
        cancel: &CancellationToken,
    ) -> Result<Report, Error> {
        let validator = Validator { tools: self.tools.clone(), level: self.level, timeout: self.timeout };
        // A URL would end at such a name.
        let scratch = tempfile::Builder::new().prefix("#?").tempdir().expect("a folder");
        let subject = Subject { preset, source, output: &self.path(output), scratch: scratch.path() };
        validator.validate(&subject, cancel).await
    }

    async fn report(&self, preset: &Preset, output: &str) -> Report {
        self.judge(preset, output).await.expect("can be judged")
    }
}

/// `CODE CODE`, then the warnings in brackets.
fn codes(report: &Report) -> String {
    let name = |finding: &Finding| match finding.severity {
        Severity::Error => finding.code.to_string(),
        Severity::Warning => format!("({})", finding.code),
    };
    let mut codes: Vec<_> = report.findings.iter().map(name).collect();
    codes.sort_by_key(|code| code.starts_with('('));
    codes.dedup();
    codes.join(" ")
}
