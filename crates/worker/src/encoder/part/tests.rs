//! Chunks that real ffmpeg makes of awkward sources: together they have exactly the frames of the whole.

use std::{process::Command, time::Duration};

use preset::{Audio, Channels, Effort, Fit, Packaging, Rate, Rendition};
use rstest::rstest;
use tempfile::TempDir;

use super::*;
use crate::{
    media::{self, Input, KeySearch, Measured, Patience},
    permit::Permit,
    plan::{self, Plan, Whole},
};

/// x264 loses nothing at crf 0: what was decoded can be compared.
const LOSSLESS: &[Rendition] = &[Rendition { fit: Fit::Height(96), rate: Rate::Quality { crf: 0 } }];

const MP4: Preset = preset(Packaging::Mp4);
const HLS: Preset = preset(Packaging::Hls { segment_seconds: 2, ladder: false });

const fn preset(packaging: Packaging) -> Preset {
    let audio = Some(Audio { kbps: 64, channels: Channels::Source });
    Preset { name: "test", summary: "", packaging, effort: Effort::Fast, renditions: LOSSLESS, audio }
}

const LIMITS: Limits = Limits { stall: Duration::from_mins(1), total: Duration::from_mins(2) };

const PATIENCE: Patience = Patience { silence: Duration::from_mins(1), total: Duration::from_mins(2) };

/// A folder with a source of twenty seconds: longer than what is decoded before a chunk.
struct Bench {
    folder: TempDir,
    tools: Tools,
    input: Input,
}

impl Bench {
    fn new(source: &str, steps: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let made = "-f lavfi -i testsrc2=s=160x96:r=25:d=20 -f lavfi -i sine=d=20 -pix_fmt yuv420p -c:a aac -b:a 64k";
        for (number, step) in steps.iter().enumerate() {
            let from = if number == 0 { made } else { "" };
            ffmpeg(&folder, &format!("{from} {step}"));
        }
        let mut operand = OsString::from("file:");
        operand.push(folder.path().join(source));
        let tools = Tools { ffmpeg: "ffmpeg".into(), ffprobe: "ffprobe".into() };
        Self { folder, tools, input: Input { args: vec!["-i".into(), operand], proxy: None } }
    }

    async fn probe(&self) -> Media {
        let cancel = CancellationToken::new();
        media::probe(&self.tools, &self.input, Duration::from_mins(1), &cancel).await.expect("readable")
    }

    async fn grid(&self, media: &Media) -> Result<Grid, Whole> {
        let (origin, cancel) = (media.origin(true), CancellationToken::new());
        match media::measure(&self.tools, &self.input, media, origin, PATIENCE, &cancel).await {
            Measured::Even(grid) => Ok(grid),
            Measured::Uneven(whole) => Err(whole),
            Measured::Cancelled => panic!("nobody has cancelled it"),
        }
    }

    /// A plan of short chunks.
    async fn plan(&self, media: &Media, grid: Grid, may_move: bool) -> Plan {
        let plan = plan::split(grid, &MP4, 3.9, true).expect("long enough");
        let (origin, cancel) = (media.origin(true), CancellationToken::new());
        let keys = match KeySearch::new(&self.tools, &self.input, media, PATIENCE, &cancel) {
            Some(search) => search.wanted_by(&plan, origin, may_move).await,
            None => Vec::new(),
        };
        plan.align(&keys, origin, may_move).hurry_the_last(&MP4)
    }

    fn order<'a>(&'a self, preset: &'a Preset, source: &'a Media, directory: &'a Path) -> Order<'a> {
        let video = source.video.as_ref().expect("has video");
        Order { preset, input: &self.input, source, video, directory }
    }

    /// Encodes a chunk into a folder of its own.
    async fn chunk(&self, preset: &Preset, media: &Media, cut: &Cut, folder: &str) -> Result<Files, Error> {
        let directory = self.folder.path().join(folder);
        std::fs::create_dir(&directory).expect("made");
        let order = self.order(preset, media, &directory);
        encode_chunk(&self.tools, &order, cut, &LIMITS, |_| (), &CancellationToken::new()).await
    }

    /// Time in microseconds and hash of each decoded frame.
    fn decode(&self, args: &str) -> Vec<(i64, String)> {
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.current_dir(&self.folder).args(["-v", "fatal", "-nostdin"]).args(args.split_whitespace());
        let clock = ["-fps_mode", "passthrough", "-enc_time_base", "1/1000000"];
        let output = ffmpeg.args(clock).args(["-f", "framehash", "-hash", "md5", "-"]).output().expect("runs");
        let text = String::from_utf8(output.stdout).expect("text");
        let entries = text.lines().filter(|line| !line.starts_with('#'));
        let fields = entries.map(|line| line.split(',').map(str::trim).collect::<Vec<_>>());
        fields.map(|fields| (fields[2].parse().expect("a time"), fields[5].to_owned())).collect()
    }
}

fn ffmpeg(folder: &TempDir, args: &str) {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.current_dir(folder).args(["-v", "fatal", "-nostdin", "-y"]).args(args.split_whitespace());
    assert!(ffmpeg.status().expect("ffmpeg runs").success(), "{args}");
}

const X264: &str = "-c:v libx264 -preset ultrafast -bf 3 -x264-params";

#[rstest]
#[case::plain("a.mp4", &["-c:v libx264 -preset veryfast a.mp4"])]
#[case::open_gop("a.mp4", &["-c:v libx264 -preset veryfast -x264-params keyint=48:open-gop=1 a.mp4"])]
#[case::transport_stream("a.ts", &["-c:v libx264 -preset veryfast -x264-params keyint=60:open-gop=1 a.ts"])]
#[case::few_key_frames("a.ts", &["-c:v libx264 -preset veryfast -g 249 a.ts"])]
#[case::matroska_of_milliseconds("a.mkv", &["-vf fps=24000/1001 -c:v libx264 -preset veryfast a.mkv"])]
#[case::ntsc("a.mp4", &["-vf fps=30000/1001 -c:v libx264 -preset veryfast a.mp4"])]
#[case::hevc("a.mp4", &["-c:v libx265 -preset ultrafast -x265-params log-level=none:bframes=4:keyint=60 a.mp4"])]
#[case::hevc_stream("a.ts", &["-c:v libx265 -preset ultrafast -x265-params log-level=none:bframes=4:keyint=60 a.ts"])]
#[case::edit_list("b.mp4", &["-c:v libx264 -preset veryfast -g 50 a.mp4", "-ss 1.3 -i a.mp4 -c copy b.mp4"])]
#[case::late_video("b.mp4", &[
    "-c:v libx264 -preset veryfast a.mp4", "-itsoffset 0.7 -i a.mp4 -i a.mp4 -map 0:v -map 1:a -c copy b.mp4",
])]
#[case::late_video_in_a_stream("b.ts", &[
    "-c:v libx264 -preset veryfast -g 100 a.mp4", "-itsoffset 0.7 -i a.mp4 -i a.mp4 -map 0:v -map 1:a -c copy b.ts",
])]
#[case::interlaced("a.ts", &["-vf setfield=tff -c:v libx264 -flags +ilme+ildct -preset veryfast -g 50 a.ts"])]
#[case::mpeg2("a.ts", &["-c:v mpeg2video -bf 2 -g 15 -c:a mp2 a.ts"])]
#[case::cut_out_of_a_broadcast("b.ts", &["-c:v mpeg2video -bf 2 -g 15 a.ts", "-ss 1.1 -i a.ts -c copy b.ts"])]
#[case::refreshed_line_by_line("a.ts", &["-c:v libx264 -preset veryfast -x264-params keyint=60:intra-refresh=1 a.ts"])]
#[case::refreshed_in_a_file("a.mp4", &["-c:v libx264 -preset veryfast -x264-params keyint=60:intra-refresh=1 a.mp4"])]
#[case::vp9("a.webm", &["-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 100 -c:a libopus a.webm"])]
#[tokio::test]
async fn chunks_have_exactly_the_frames_of_the_whole(#[case] source: &str, #[case] steps: &[&str]) {
    let bench = Bench::new(source, steps);
    let media = bench.probe().await;
    let grid = bench.grid(&media).await.expect("evenly spaced");
    let whole = bench.decode(&format!("-i {source} -map 0:v:0"));
    assert_eq!(grid.frames(), whole.len() as u64);
    // With the edges where they are, and where key frames are.
    for may_move in [false, true].into_iter().filter(|may_move| media.has_frame_table || !may_move) {
        let plan = bench.plan(&media, grid, may_move).await;
        let mut hashes = Vec::new();
        for (index, &chunk) in (0..).zip(&plan.chunks) {
            let cut = Cut { index, grid, chunk };
            let folder = format!("chunk-{may_move}-{index}");
            let files = bench.chunk(&MP4, &media, &cut, &folder).await.expect("encoded");
            assert_eq!(files.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["v0.mp4", "v0.marks"]);
            hashes.extend(bench.decode(&format!("-i {folder}/v0.mp4")).into_iter().map(|(_, hash)| hash));
        }
        assert!(hashes.iter().eq(whole.iter().map(|(_, hash)| hash)), "{source}: frames differ");
    }
}

#[rstest]
#[case::closed("keyint=60:scenecut=0", &[None, Some(120), Some(180), Some(300), Some(360), Some(360), Some(420), Some(420), Some(480)])]
#[case::refreshed_line_by_line("keyint=60:intra-refresh=1", &[None; 9])]
#[tokio::test]
async fn chunks_are_decoded_from_frames_that_need_no_other(#[case] x264: &str, #[case] keys: &[Option<u64>]) {
    let bench = Bench::new("a.mp4", &[&format!("{X264} {x264} a.mp4")]);
    let media = bench.probe().await;
    let grid = bench.grid(&media).await.expect("evenly spaced");
    let plan = bench.plan(&media, grid, true).await;
    assert_eq!(plan.chunks.iter().map(|chunk| chunk.key).collect::<Vec<_>>(), keys);
}

/// Length and hash of the decoder's parameters and of each frame in a list.
fn prints(list: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(list).expect("there is a list");
    let print = |line: &str| match line.strip_prefix("#extradata") {
        None if line.starts_with('#') => None,
        None => Some(line.split(',').skip(4).take(2).collect()),
        Some(parameters) => Some(parameters.to_owned()),
    };
    text.lines().filter_map(print).collect()
}

#[rstest]
#[case::even(&MP4, "25")]
#[case::ntsc(&MP4, "30000/1001")]
#[case::segments(&HLS, "24000/1001")]
#[tokio::test]
async fn the_list_made_beside_a_chunk_is_the_one_that_its_file_gives(#[case] preset: &Preset, #[case] rate: &str) {
    let bench = Bench::new("a.mp4", &[&format!("-vf fps={rate} -c:v libx264 -preset veryfast a.mp4")]);
    let media = bench.probe().await;
    let grid = bench.grid(&media).await.expect("evenly spaced");
    let cut = Cut { index: 1, grid, chunk: plan::split(grid, preset, 3.9, true).expect("long enough").chunks[1] };
    let files = bench.chunk(preset, &media, &cut, "chunk").await.expect("encoded");
    let (file, beside) = (&files[0].1, &files[1].1);
    let read = bench.folder.path().join("read.marks");
    let permit = Permit::unleased();
    let files = [(file.clone(), read.clone())];
    proof::marks(&bench.tools, &files, Kind::Output { transport_stream: false }, &LIMITS, &permit)
        .await
        .expect("read back");
    for list in [beside, &read] {
        proof::check_chunk(list, &cut).expect("has every frame");
    }
    assert_eq!(prints(beside).len() as u64, 1 + cut.chunk.frames);
    assert_eq!(prints(beside), prints(&read));
}

/// Times as a whole run has them.
#[rstest]
#[case::plain("a.mp4", &["-c:v libx264 -preset veryfast a.mp4"])]
#[case::milliseconds("a.mkv", &["-vf fps=24000/1001 -c:v libx264 -preset veryfast a.mkv"])]
#[case::late("b.ts", &[
    "-c:v libx264 -preset veryfast a.mp4", "-itsoffset 0.7 -i a.mp4 -i a.mp4 -map 0:v -map 1:a -c copy b.ts",
])]
#[tokio::test]
async fn a_grid_has_the_times_of_a_whole_run(#[case] source: &str, #[case] steps: &[&str]) {
    let bench = Bench::new(source, steps);
    let media = bench.probe().await;
    let grid = bench.grid(&media).await.expect("evenly spaced");
    let directory = bench.folder.path().join("whole");
    std::fs::create_dir(&directory).expect("made");
    let video = media.video.as_ref().expect("has video");
    let order = Order { preset: &MP4, input: &bench.input, source: &media, video, directory: &directory };
    let cancel = CancellationToken::new();
    super::super::encode(&bench.tools, &order, &LIMITS, |_| (), &cancel).await.expect("encoded");
    let whole = bench.decode("-i whole/output.mp4 -map 0:v:0");
    assert_eq!(whole.len() as u64, grid.frames());
    let tick = 1_000_000.0 / grid.rate().per_second() / f64::from(plan::TICKS_PER_FRAME);
    for (number, (time, _)) in (0..).zip(&whole) {
        let off = (time - grid.time(number)).abs();
        assert!(f64::from(i32::try_from(off).expect("small")) <= tick, "frame {number} at {time}, off by {off}");
    }
}

/// As far as it may: neither a search of the nearer half of that finds it, nor one for a later edge.
#[tokio::test]
async fn the_last_edge_moves_to_a_key_frame_well_behind_it() {
    let lengths = plan::chunk_lengths(500, 3.9 / 20.0);
    let shorter = lengths.iter().rev().take(2).min().expect("there are two");
    let key = 500 - lengths.last().expect("there is one") + 3 * shorter / 5;
    let steps = format!("{X264} keyint=600:scenecut=0 -force_key_frames {}ms a.mp4", key * 40);
    let bench = Bench::new("a.mp4", &[&steps]);
    let media = bench.probe().await;
    let grid = bench.grid(&media).await.expect("evenly spaced");
    let plan = bench.plan(&media, grid, true).await;
    let last = plan.chunks.last().expect("there is one");
    assert_eq!((last.first, last.key), (key, Some(key)));
}

#[tokio::test]
async fn the_same_chunk_has_the_same_bytes() {
    let bench = Bench::new("a.mp4", &[&format!("{X264} keyint=60 a.mp4")]);
    let media = bench.probe().await;
    let grid = bench.grid(&media).await.expect("evenly spaced");
    let cut = Cut { index: 2, grid, chunk: plan::split(grid, &HLS, 4.0, true).expect("long enough").chunks[2] };
    let mut both = Vec::new();
    for folder in ["first", "second"] {
        let files = bench.chunk(&HLS, &media, &cut, folder).await.expect("encoded");
        both.push(files.into_iter().map(|(_, path)| std::fs::read(path).expect("there")).collect::<Vec<_>>());
    }
    assert!(both[0] == both[1], "bytes differ");
}

/// Longer than x264 looks ahead, and beside others that take its cores from it.
#[tokio::test]
async fn a_chunk_with_several_threads_has_the_same_bytes() {
    const QUALITY: &[Rendition] = &[Rendition { fit: Fit::Height(96), rate: Rate::Quality { crf: 23 } }];
    let preset = Preset { effort: Effort::Medium, renditions: QUALITY, ..MP4 };
    let bench = Bench::new("a.mp4", &[&format!("{X264} keyint=60 a.mp4")]);
    let media = bench.probe().await;
    let grid = bench.grid(&media).await.expect("evenly spaced");
    let plan = plan::split(grid, &preset, 7.0, true).expect("long enough").hurry_the_last(&preset);
    let (index, chunk) = (0..).zip(&plan.chunks).find(|(_, chunk)| chunk.threads > 1).expect("one is last");
    let chunk = Chunk { first: chunk.first - 100, frames: chunk.frames + 100, key: None, ..*chunk };
    let cut = Cut { index, grid, chunk };
    let args = chunk_arguments(&bench.order(&preset, &media, bench.folder.path()), &cut);
    // Where no thread happens to wait, the bytes alone would not tell.
    for option in [["-threads", "4"], ["-x264-params", "sync-lookahead=0"]] {
        assert!(args.windows(2).any(|args| args == option), "{args:?}");
    }
    // Sixteen at a time, so that threads wait for a core at any moment.
    let folders: Vec<_> = (0..16).map(|number| number.to_string()).collect();
    let alone = bench.chunk(&preset, &media, &cut, "alone").await.expect("encoded");
    let others = folders.iter().map(|folder| bench.chunk(&preset, &media, &cut, folder));
    let read =
        |files: Files| files.into_iter().map(|(_, path)| std::fs::read(path).expect("there")).collect::<Vec<_>>();
    let alone = read(alone);
    for other in futures_util::future::join_all(others).await {
        assert!(read(other.expect("encoded")) == alone, "bytes differ");
    }
}

#[tokio::test]
async fn key_frames_lie_where_segments_begin() {
    let bench = Bench::new("a.mp4", &[&format!("-vf fps=30000/1001 {X264} keyint=250 a.mp4")]);
    let media = bench.probe().await;
    let grid = bench.grid(&media).await.expect("evenly spaced");
    let plan = plan::split(grid, &HLS, 5.0, true).expect("long enough");
    let chunk = plan.chunks[1];
    bench.chunk(&HLS, &media, &Cut { index: 1, grid, chunk }, "chunk").await.expect("encoded");
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.current_dir(&bench.folder).args(["-v", "error", "-select_streams", "v", "-skip_frame", "nokey"]);
    let output = ffprobe.args(["-show_entries", "frame=pts", "-of", "csv=p=0", "chunk/v0.mp4"]).output().expect("runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let keys: Vec<u64> = text.lines().filter_map(|line| line.trim_matches(',').parse().ok()).collect();
    let starts = (0..20).map(|segment| grid.segment_start(segment, 2));
    let inside = starts.filter(|start| (chunk.first..chunk.first + chunk.frames).contains(start));
    let ticks = u64::from(plan::TICKS_PER_FRAME * grid.rate().denominator);
    let expected: Vec<_> = inside.map(|start| (start - chunk.first) * ticks).collect();
    assert!(expected.len() > 1 && expected[0] == 0);
    assert!(expected.iter().all(|key| keys.contains(key)), "{expected:?} in {keys:?}");
}

#[rstest]
#[case::gap("a.ts", &["-vf select='not(eq(n,100))' -fps_mode vfr -c:v libx264 -preset ultrafast a.ts"])]
#[case::variable("a.mp4", &[
    "-vf select='not(mod(n,7))+not(mod(n,3))' -fps_mode vfr -c:v libx264 -preset ultrafast a.mp4",
])]
#[case::without_times("a.avi", &["-c:v libx264 -preset ultrafast -bf 2 -c:a mp3 a.avi"])]
#[tokio::test]
async fn uneven_frames_are_not_numbered(#[case] source: &str, #[case] steps: &[&str]) {
    let bench = Bench::new(source, steps);
    let media = bench.probe().await;
    assert_eq!(bench.grid(&media).await, Err(Whole::Uneven));
}

#[tokio::test]
async fn a_stream_with_too_few_key_frames_is_not_split() {
    let bench = Bench::new("a.ts", &[&format!("{X264} keyint=400:scenecut=0 a.ts")]);
    let media = bench.probe().await;
    assert_eq!(bench.grid(&media).await, Err(Whole::FewKeyFrames));
}

#[tokio::test]
async fn a_chunk_with_another_number_of_frames_is_an_error() {
    let bench = Bench::new("a.mp4", &[&format!("{X264} keyint=60 a.mp4")]);
    let media = bench.probe().await;
    let grid = Grid::new(FrameRate { numerator: 25, denominator: 1 }, 0, 520).expect("countable");
    let cut = Cut { index: 1, grid, chunk: Chunk { first: 400, frames: 120, key: None, threads: 1 } };
    let error = bench.chunk(&MP4, &media, &cut, "chunk").await.expect_err("frames are missing");
    assert_eq!(error.to_string(), "split: chunk 1 has 100 frames instead of 120");
    assert_eq!(error.blame(), Blame::Job);
}

#[tokio::test]
async fn audio_is_that_of_a_whole_run() {
    let late = "-i a.mp4 -itsoffset 0.7 -i a.mp4 -map 0:v -map 1:a -c copy b.ts";
    let bench = Bench::new("b.ts", &[&format!("{X264} keyint=60 a.mp4"), late]);
    let media = bench.probe().await;
    for folder in ["whole", "audio"] {
        std::fs::create_dir(bench.folder.path().join(folder)).expect("made");
    }
    let video = media.video.as_ref().expect("has video");
    let order = |directory| Order { preset: &MP4, input: &bench.input, source: &media, video, directory };
    let cancel = CancellationToken::new();
    let (whole, part) = (bench.folder.path().join("whole"), bench.folder.path().join("audio"));
    super::super::encode(&bench.tools, &order(&whole), &LIMITS, |_| (), &cancel).await.expect("encoded");
    let files = encode_audio(&bench.tools, &order(&part), &LIMITS, |_| (), &cancel).await.expect("encoded");
    let names: Vec<_> = files.expect("has audio").into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a.mp4", "a.marks"]);
    let list = |file: &str| bench.decode(&format!("-copyts -i {file} -map 0:a:0 -c copy"));
    let (expected, found) = (list("whole/output.mp4"), list("audio/a.mp4"));
    assert!(expected.len() > 800 && found.len() == expected.len());
    for ((at, expected), (found_at, found)) in expected.iter().zip(&found) {
        assert!((at - found_at).abs() <= 45 && expected == found, "{at} {found_at}");
    }
}
