//! Joins and proves real files, and breaks them in every way that comes to mind.

use std::{fs, path::Path, process::Command};

use preset::Preset;
use rstest::rstest;

use fixture::{DASH, HLS, Job, LADDER, MP4, ffmpeg};

pub(crate) mod fixture;

const PAL: (u32, u32) = (25, 1);
const NTSC: (u32, u32) = (30_000, 1001);
const FILM: (u32, u32) = (24_000, 1001);

/// Every packet: stream, times and length.
fn packets(file: &Path) -> Vec<String> {
    let entries = "packet=stream_index,pts_time,dts_time,duration_time";
    let run = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", entries, "-of", "csv=p=0"])
        .arg(file)
        .output()
        .expect("ffprobe runs");
    // The order between the streams is the muxer's own.
    let mut lines: Vec<_> = String::from_utf8(run.stdout).expect("text").lines().map(str::to_owned).collect();
    lines.sort();
    lines.retain(|line| !line.is_empty());
    assert!(lines.len() > 100, "{}", file.display());
    lines
}

/// What a player opens: the file, or playlists and manifests.
fn entries(output: &Path) -> Vec<std::path::PathBuf> {
    let names = ["playlist.m3u8", "144p/playlist.m3u8", "96p/playlist.m3u8"];
    if output.is_file() {
        return vec![output.to_owned()];
    }
    names.iter().map(|name| output.join(name)).filter(|path| path.exists()).collect()
}

#[rstest]
#[case::mp4(&MP4, PAL, 0, &[0, 100, 160, 260])]
#[case::mp4_ntsc(&MP4, NTSC, 0, &[0, 90, 181])]
#[case::mp4_late_sound(&MP4, FILM, 117, &[0, 90, 180])]
#[case::mp4_late_picture(&MP4, PAL, -213, &[0, 90, 180])]
#[case::mp4_late_between_milliseconds(&MP4, FILM, -213, &[0, 90, 180])]
#[case::hls(&HLS, FILM, 0, &[0, 96, 192, 230])]
#[case::ladder(&LADDER, PAL, 0, &[0, 100, 200, 260])]
#[case::ladder_late_picture(&LADDER, NTSC, -70, &[0, 120, 240])]
#[case::dash(&DASH, PAL, 0, &[0, 100, 230])]
#[case::dash_ntsc(&DASH, NTSC, 40, &[0, 120, 230])]
#[tokio::test]
async fn joined_parts_are_proved_and_have_the_times_of_the_whole(
    #[case] preset: &'static Preset,
    #[case] rate: (u32, u32),
    #[case] late_ms: i64,
    #[case] edges: &[u64],
) {
    let job = Job::new(preset, rate, late_ms, edges);
    job.parts().await;
    let (joined, whole) = (job.join().await, job.whole().await);
    let proved = job.prove().await.expect("is as it should be");
    assert!(proved.frames.iter().all(|frames| *frames == edges[edges.len() - 1]), "{proved:?}");
    assert!(proved.samples.is_some_and(|samples| samples > 40_000));
    for (joined, whole) in entries(&joined).iter().zip(entries(&whole)) {
        assert_eq!(packets(joined), packets(&whole), "{}", joined.display());
    }
    for name in ["playlist.m3u8", "144p/playlist.m3u8", "96p/playlist.m3u8"] {
        let read = |root: &Path| fs::read_to_string(root.join(name)).ok().map(|text| lengths(&text));
        let (joined, whole) = (read(&joined).unwrap_or_default(), read(&whole).unwrap_or_default());
        assert_eq!(joined.len(), whole.len());
        // A whole run rounds the length of every frame the same way.
        assert!(
            joined.iter().zip(&whole).all(|(joined, whole)| (joined - whole).abs() < 0.001),
            "{joined:?} {whole:?}"
        );
    }
}

#[rstest]
#[case::mp4(&MP4)]
#[case::ladder(&LADDER)]
#[case::dash(&DASH)]
#[tokio::test]
async fn parts_without_sound_are_joined(#[case] preset: &'static Preset) {
    let mut job = Job::new(preset, PAL, 0, &[0, 100, 180]);
    job.plan.has_audio = false;
    job.parts().await;
    job.join().await;
    let proved = job.prove().await.expect("is as it should be");
    assert_eq!((proved.frames, proved.samples), (vec![180; preset.renditions.len()], None));
}

/// The lengths of a playlist's segments.
fn lengths(playlist: &str) -> Vec<f64> {
    let length = |line: &str| line.strip_prefix("#EXTINF:")?.trim_end_matches(',').parse().ok();
    playlist.lines().filter_map(length).collect()
}

/// Copies a chunk through a filter of packets.
fn recode(job: &Job, chunk: usize, select: &str) {
    let (file, draft) = (job.video(chunk, 0), job.at("draft.mp4"));
    let scale = (job.plan.grid.expect("has a grid").rate_numerator * 8).to_string();
    let args = ["-i", &*file.display().to_string(), "-c", "copy", "-bsf:v", select, "-video_track_timescale", &scale];
    ffmpeg(job.folder.path(), &[&args[..], &[&*draft.display().to_string()]].concat());
    fs::rename(draft, file).expect("replaces");
}

async fn why(job: &Job) -> String {
    job.prove().await.expect_err("is not whole").to_string()
}

async fn mp4() -> Job {
    let job = Job::new(&MP4, PAL, 0, &[0, 50, 100, 150]);
    job.parts().await;
    job
}

#[tokio::test]
async fn a_frame_that_is_dropped_is_named() {
    let job = mp4().await;
    // After its marks were made.
    recode(&job, 2, "noise=drop=eq(n\\,3)");
    job.join().await;
    let why = why(&job).await;
    assert!(why.starts_with("split: chunk 2: frame ") && why.ends_with(" is missing"), "{why}");
}

#[tokio::test]
async fn chunks_in_another_order_are_noticed() {
    let job = mp4().await;
    let mut files = job.files();
    files[0].swap(0, 1);
    job.join_files(&files).await;
    assert_eq!(why(&job).await, "split: chunk 0: frame 0 (at 0 s) and 49 more are missing");
}

#[tokio::test]
async fn a_chunk_twice_is_noticed() {
    let job = mp4().await;
    let mut files = job.files();
    files[0][2] = files[0][1].clone();
    job.join_files(&files).await;
    assert_eq!(why(&job).await, "split: chunk 2: frame 0 (at 4 s): something else is in its place");
}

#[tokio::test]
async fn an_end_that_is_missing_is_noticed() {
    let job = mp4().await;
    let mut files = job.files();
    files[0].pop();
    job.join_files(&files).await;
    assert_eq!(why(&job).await, "split: chunk 2: frame 0 (at 4 s): it and all behind it are missing");
}

#[tokio::test]
async fn a_part_with_fewer_frames_than_planned_is_noticed() {
    let mut job = mp4().await;
    job.join().await;
    job.plan.chunks[1].frames = 51;
    assert_eq!(why(&job).await, "split: chunk 1 has 50 frames instead of 51");
}

#[tokio::test]
async fn one_byte_is_noticed() {
    let job = mp4().await;
    let output = job.join().await;
    let mut bytes = fs::read(&output).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&output, bytes).expect("writes");
    let why = why(&job).await;
    assert!(why.starts_with("split: ") && why.ends_with("something else is in its place"), "{why}");
}

#[tokio::test]
async fn sound_that_is_shifted_is_noticed() {
    for preset in [&MP4, &HLS] {
        let job = Job::new(preset, PAL, 0, &[0, 50, 100]);
        job.parts().await;
        let (audio, draft) = (job.audio().display().to_string(), job.at("draft.mp4").display().to_string());
        let args = ["-itsoffset", "100ms", "-i", &audio, "-c", "copy", "-movie_timescale", "1000000", &draft];
        ffmpeg(job.folder.path(), &args);
        fs::rename(draft, audio).expect("replaces");
        job.join().await;
        let why = why(&job).await;
        assert!(why.starts_with("split: audio: packet 0 (at -0.021 s): it is at 0.07"), "{why}");
    }
}

#[tokio::test]
async fn a_segment_that_is_lost_is_noticed() {
    let job = Job::new(&LADDER, PAL, 0, &[0, 100, 200]);
    job.parts().await;
    let output = job.join().await;
    fs::remove_file(output.join("96p/segment_00001.ts")).expect("is there");
    assert_eq!(why(&job).await, "split: chunk 0: frame 50 (at 2 s) and 49 more are missing");
}

#[tokio::test]
async fn segments_in_another_order_are_noticed() {
    let job = Job::new(&DASH, PAL, 0, &[0, 100, 200]);
    job.parts().await;
    let output = job.join().await;
    let (one, two) = (output.join("chunk_1_00001.m4s"), output.join("chunk_1_00002.m4s"));
    let first = fs::read(&one).expect("reads");
    fs::rename(&two, &one).expect("moves");
    fs::write(&two, first).expect("writes");
    let why = why(&job).await;
    assert_eq!(why, "split: chunk 0: frame 0 (at 0 s) and 49 more are missing");
}
