//! What a ladder owes its players: segments that can be swapped for one another, and a master that tells the truth.

use std::{collections::BTreeMap, fs, path::Path};

use e2e::{Sandbox, job};
use rstest::rstest;

use super::{facts, recipe::make};

/// Longest segment in seconds, without the frame that the boundary may be off.
const SEGMENT: f64 = 6.0;

/// Thirteen seconds: two whole segments and a rest.
const CLIP: &str = "-f lavfi -i testsrc2=s=160x90:r=10:d=13 -f lavfi -i sine=d=13 -c:v libx264 -preset fast -bf 3 \
    -pix_fmt yuv420p -c:a aac";
const JITTER: &str = "-f lavfi -i testsrc2=s=160x90:r=10:d=13 -f lavfi -i sine=d=13 \
    -vf settb=1/1000,setpts=N/(10*TB)+random(1)*0.08/TB -enc_time_base 1/1000 -fps_mode vfr \
    -c:v libx264 -preset fast -bf 3 -pix_fmt yuv420p -c:a aac";
/// Ten frames a second, then one: the average says nothing about either.
const SCREEN: &str = "-f lavfi -i testsrc2=s=160x90:r=10:d=16 -vf select=lt(t\\,7)+not(mod(n\\,10)) -fps_mode vfr \
    -c:v libx264 -preset fast -bf 3 -pix_fmt yuv420p";

/// The lengths of a playlist's segments, and their names.
fn segments(playlist: &Path) -> Vec<(f64, String)> {
    let text = fs::read_to_string(playlist).expect("a playlist");
    let lines: Vec<_> = text.lines().collect();
    let entries = lines.windows(2).filter_map(|pair| Some((pair[0].strip_prefix("#EXTINF:")?, pair[1])));
    entries.map(|(length, name)| (length.trim_end_matches(',').parse().expect("a length"), name.to_owned())).collect()
}

/// The first packet of picture in a segment: when it is shown, and whether it is a key frame.
async fn first_packet(segment: &Path) -> (f64, bool) {
    let entries = "packet=pts_time,flags";
    let args = ["-select_streams", "v:0", "-of", "csv=p=0", "-show_entries", entries, "-read_intervals", "%+#1"];
    let printed = facts::probe(segment, &args).await;
    let (time, flags) = printed.trim().split_once(',').expect("a packet");
    (time.parse().expect("a time"), flags.starts_with('K'))
}

/// The attributes of each rendition of a master playlist, with its path as `path`.
fn renditions(master: &Path) -> Vec<BTreeMap<String, String>> {
    let text = fs::read_to_string(master).expect("a master playlist");
    let lines: Vec<_> = text.lines().collect();
    let entries = lines.windows(2).filter_map(|pair| Some((pair[0].strip_prefix("#EXT-X-STREAM-INF:")?, pair[1])));
    entries
        .map(|(attributes, path)| {
            let mut quoted = false;
            let mut parts = attributes.split(|c: char| {
                quoted ^= c == '"';
                c == ',' && !quoted
            });
            let pairs = parts.by_ref().filter_map(|part| part.split_once('='));
            let mut pairs: BTreeMap<_, _> =
                pairs.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned())).collect();
            pairs.insert("path".to_owned(), path.to_owned());
            pairs
        })
        .collect()
}

/// Every rendition is cut at the same places, each piece starts with a key frame, and lengths are those of the frames.
async fn assert_swappable(folder: &Path, frame: f64) -> Vec<f64> {
    let reference: Vec<_> = segments(&folder.join("720p/playlist.m3u8"));
    for name in ["720p", "480p", "360p"] {
        let folder = folder.join(name);
        let found = segments(&folder.join("playlist.m3u8"));
        let lengths = |list: &[(f64, String)]| list.iter().map(|(length, _)| *length).collect::<Vec<_>>();
        assert_eq!(lengths(&found), lengths(&reference), "{name}");
        assert!(found.iter().all(|(length, _)| *length <= SEGMENT + frame), "{name}: {found:?}");
        let mut starts = Vec::new();
        for (_, segment) in &found {
            let (start, is_key_frame) = first_packet(&folder.join(segment)).await;
            assert!(is_key_frame, "{name}/{segment}");
            starts.push(start);
        }
        for (pair, (length, segment)) in starts.windows(2).zip(&found) {
            let true_length = pair[1] - pair[0];
            assert!((true_length - length).abs() < 0.02, "{name}/{segment} lasts {true_length}, not {length}");
        }
    }
    reference.into_iter().map(|(length, _)| length).collect()
}

async fn assert_master_is_true(folder: &Path, has_sound: bool) {
    let renditions = renditions(&folder.join("master.m3u8"));
    assert_eq!(renditions.len(), 3, "{renditions:?}");
    for rendition in renditions {
        let playlist = folder.join(&rendition["path"]);
        let facts = facts::of_output(&playlist).await;
        assert_eq!(rendition["RESOLUTION"], format!("{}x{}", facts.size.0, facts.size.1));
        let codecs: Vec<_> = rendition["CODECS"].split(',').collect();
        assert!(codecs[0].starts_with("avc1.") && codecs.len() == if has_sound { 2 } else { 1 }, "{codecs:?}");
        assert_eq!(codecs.get(1).copied(), has_sound.then_some("mp4a.40.2"));
        let bits = |name: &str| {
            let bytes = fs::metadata(playlist.with_file_name(name)).expect("a segment").len();
            f64::from(u32::try_from(bytes).expect("small")) * 8.0
        };
        let peak = segments(&playlist).iter().map(|(length, name)| bits(name) / length).fold(0.0, f64::max);
        let told: f64 = rendition["BANDWIDTH"].parse().expect("a number");
        assert!((told / peak - 1.0).abs() < 0.01, "BANDWIDTH {told}, the peak is {peak}");
    }
}

#[rstest]
#[case::start_offset("offset.ts", CLIP, "-output_ts_offset 7.3", 0.1)]
#[case::b_frames("b.mp4", CLIP, "", 0.1)]
#[case::variable_rate("jitter.mkv", JITTER, "", 0.3)]
#[tokio::test]
async fn a_long_source_is_cut_at_shared_key_frames(
    #[case] name: &str,
    #[case] recipe: &str,
    #[case] more: &str,
    #[case] frame: f64,
) {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().start().await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    let input = sandbox.input(&make(name, &format!("{recipe} {more}")));
    plane.completed(&job(&input, "hls_720p_abr", "local", "hls")).await;
    let folder = sandbox.output_dir().join("hls");
    let lengths = assert_swappable(&folder, frame).await;
    assert_eq!(lengths.len(), 3, "{lengths:?}");
    for (found, expected) in lengths.iter().zip([6.0, 6.0, 1.0]) {
        assert!((found - expected).abs() < frame + 0.02, "{lengths:?}");
    }
    assert_master_is_true(&folder, true).await;
}

#[tokio::test]
async fn a_playlist_tells_true_lengths_where_frames_are_rare() {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().start().await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    let input = sandbox.input(&make("rare.mkv", SCREEN));
    plane.completed(&job(&input, "hls_720p_abr", "local", "hls")).await;
    let folder = sandbox.output_dir().join("hls");
    // A frame lasts up to a second here, and a segment ends with one.
    let lengths = assert_swappable(&folder, 1.0).await;
    let total: f64 = lengths.iter().sum();
    assert!((14.9..=16.1).contains(&total), "{lengths:?}");
    assert_master_is_true(&folder, false).await;
}

#[rstest]
#[case::landscape("landscape.mp4", "{picture25} {sound} {h264} {aac}", (1280, 720))]
#[case::silent("silent.mp4", "{picture25} {h264}", (1280, 720))]
#[case::turned("left.mp4", "-i {plain} -metadata:s:v rotate=90 -c copy", (406, 720))]
#[case::odd("odd.mkv", "-f lavfi -i testsrc2=s=641x359:r=12:d=1 -c:v ffv1 -pix_fmt yuv444p", (1280, 716))]
#[tokio::test]
async fn a_dash_ladder_keeps_every_frame(#[case] name: &str, #[case] recipe: &str, #[case] size: (u64, u64)) {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().start().await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    let source = make(name, recipe);
    let url = plane.completed(&job(&sandbox.input(&source), "dash_720p_abr", "local", "dash")).await;
    assert!(url.ends_with("/dash/manifest.mpd"), "{url}");
    let found = facts::of_output(&sandbox.output_dir().join("dash/manifest.mpd")).await;
    assert_eq!(found.size, size);
    assert_eq!(found.frames.len(), facts::of_source(&source).await.frames.len());
}

#[tokio::test]
async fn a_dash_ladder_of_a_variable_rate_is_as_long_as_the_source() {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().start().await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    let source = make("jitter.mkv", JITTER);
    plane.completed(&job(&sandbox.input(&source), "dash_720p_abr", "local", "dash")).await;
    let last = |facts: facts::Facts| facts.frames.into_iter().flatten().next_back().expect("frames");
    let found = last(facts::of_output(&sandbox.output_dir().join("dash/manifest.mpd")).await);
    let expected = last(facts::of_source(&source).await);
    assert!((found - expected).abs() < 0.1, "{expected} s became {found} s");
}
