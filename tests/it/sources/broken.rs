//! Files and playlists that cannot be encoded: the job fails, says why, and leaves nothing.

use std::{fs, path::Path};

use e2e::{Plane, Sandbox, Worker, job};
use rstest::rstest;

use super::recipe::make;
use crate::site::{Answer, Site};

async fn service(sandbox: &Sandbox) -> (Worker, Plane) {
    let worker = sandbox.worker().env("INPUT_ALLOW_LOOPBACK", "true").env("INPUT_TIMEOUT", "2").start().await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    (worker, plane)
}

/// The job fails with both presets, and leaves nothing. Why.
async fn failure(sandbox: &Sandbox, url: &str) -> String {
    let (_worker, plane) = service(sandbox).await;
    let (single, ladder) = (job(url, "480p_h264", "local", "a.mp4"), job(url, "hls_720p_abr", "local", "a"));
    let (one, two) = tokio::join!(plane.failed(&single), plane.failed(&ladder));
    assert_eq!(sandbox.outputs(), Vec::<String>::new(), "{one}; {two}");
    sandbox.clean().await;
    one
}

async fn file_failure(name: &str, content: &[u8]) -> String {
    let sandbox = Sandbox::new();
    let file = sandbox.input_dir().join(name);
    fs::write(&file, content).expect("a file");
    failure(&sandbox, &format!("file://{}", file.display())).await
}

#[rstest]
#[case::sound("sound.m4a", "{sound} {aac}", "input_url: has no video stream")]
#[case::sound_with_cover(
    "cover.mp4",
    "{sound} -i COVER -map 0 -map 1 {aac} -c:v copy -disposition:v:0 attached_pic",
    "has no video stream"
)]
#[tokio::test]
async fn what_has_no_picture_says_so(#[case] name: &str, #[case] recipe: &str, #[case] cause: &str) {
    let cover = make("cover.jpg", "-f lavfi -i testsrc2=s=600x600:r=1:d=1 -frames:v 1");
    let source = make(name, &recipe.replace("COVER", &cover.display().to_string()));
    let error = file_failure(name, &fs::read(source).expect("a source")).await;
    assert!(error.contains(cause), "{error}");
}

#[rstest]
#[case::index_behind("cut.mp4", "", 70, "input_url: cannot be read: ")]
#[case::index_in_front("fast.mp4", "-movflags +faststart", 60, "validation failed: DURATION_TOO_SHORT")]
#[case::matroska("cut.mkv", "", 50, "validation failed: DURATION_TOO_SHORT")]
#[tokio::test]
async fn a_file_that_was_cut_is_refused(
    #[case] name: &str,
    #[case] flags: &str,
    #[case] percent: usize,
    #[case] cause: &str,
) {
    let whole =
        make(name, &format!("-f lavfi -i testsrc2=s=160x90:r=25:d=4 -f lavfi -i sine=d=4 {{h264}} {{aac}} {flags}"));
    let whole = fs::read(whole).expect("a source");
    let error = file_failure(name, &whole[..whole.len() * percent / 100]).await;
    assert!(error.contains(cause), "{error}");
}

/// Bytes without any order, the same each time.
fn garbage() -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(&mut next).take(100_000).collect()
}

#[rstest]
#[case::empty("empty.mp4", b"".to_vec())]
#[case::garbage("garbage.mp4", garbage())]
#[case::text("notes.mp4", b"Not a film.\n".repeat(1000))]
#[case::page("page.mp4", b"<!doctype html><title>Sign in</title>".to_vec())]
#[case::zip("archive.mp4", [b"PK\x03\x04\x14\0\0\0\x08\0".as_slice(), &garbage()].concat())]
#[case::pdf("paper.mp4", [b"%PDF-1.7\n".as_slice(), &garbage()].concat())]
#[tokio::test]
async fn what_is_no_film_cannot_be_read(#[case] name: &str, #[case] content: Vec<u8>) {
    let error = file_failure(name, &content).await;
    assert!(error.starts_with("encoding failed: input_url: cannot be read: "), "{error}");
}

#[rstest]
#[case::concat_list("list.mp4", b"ffconcat version 1.0\nfile 'other.mp4'\n".to_vec())]
#[case::picture("bomb.png", png(30_000, 30_000))]
#[tokio::test]
async fn what_opens_other_files_or_is_a_picture_is_not_read(#[case] name: &str, #[case] content: Vec<u8>) {
    let error = file_failure(name, &content).await;
    assert_eq!(error, "encoding failed: input_url: cannot be read: files of this kind are not read");
}

/// The head of a picture of this size.
fn png(width: u32, height: u32) -> Vec<u8> {
    let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
    [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".as_slice(), &size, b"\x08\x02\0\0\0", &garbage()].concat()
}

/// A film whose head asks for a picture of gigabytes.
#[tokio::test]
async fn a_picture_that_would_fill_the_memory_is_refused() {
    let film = make("bomb.avi", "{picture} -c:v png");
    let mut film = fs::read(film).expect("a source");
    let heads: Vec<_> = film.windows(4).enumerate().filter(|(_, w)| *w == b"IHDR").map(|(at, _)| at + 4).collect();
    for at in heads {
        film[at..at + 8].copy_from_slice(&[30_000_u32.to_be_bytes(), 30_000_u32.to_be_bytes()].concat());
    }
    let error = file_failure("bomb.avi", &film).await;
    assert!(error.starts_with("encoding failed: "), "{error}");
}

/// The beginning of a good film, cut into segments.
pub(super) async fn segments(folder: &Path) {
    let args = "-v error -nostdin -f lavfi -i testsrc2=s=160x90:r=10:d=8 -f lavfi -i sine=d=8 -c:v libx264 \
        -preset ultrafast -g 20 -pix_fmt yuv420p -c:a aac -f hls -hls_time 2 -hls_list_size 0 -hls_playlist_type vod \
        -hls_segment_filename %d.ts media.m3u8";
    let status =
        tokio::process::Command::new("ffmpeg").args(args.split_whitespace()).current_dir(folder).status().await;
    assert!(status.expect("ffmpeg is installed").success());
}

#[rstest]
#[case::first("0.ts")]
#[case::middle("1.ts")]
#[case::last("3.ts")]
#[tokio::test]
async fn a_playlist_with_a_missing_segment_publishes_nothing(#[case] missing: &str) {
    let (sandbox, folder) = (Sandbox::new(), tempfile::tempdir().expect("a folder"));
    segments(folder.path()).await;
    fs::remove_file(folder.path().join(missing)).expect("it was there");
    let site = Site::folders(vec![folder.path().to_owned()]).await;
    let error = failure(&sandbox, &site.url("/media.m3u8")).await;
    assert!(error.contains("input_url: the server answered 404 Not Found"), "{error}");
}

#[rstest]
#[case::of_itself("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n".to_owned())]
#[case::without_end(format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n{}", "#EXTINF:1,\nmissing.ts\n".repeat(200_000)))]
#[case::of_many("#EXTM3U\n".to_owned() + &"#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n".repeat(2000))]
#[case::empty("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-ENDLIST\n".to_owned())]
#[tokio::test]
async fn a_playlist_without_a_film_ends_in_time(#[case] playlist: String) {
    let sandbox = Sandbox::new();
    let site = Site::local(move |path| match path {
        "/a.m3u8" => Answer::Content(playlist.clone().into_bytes()),
        _ => Answer::Status(404),
    })
    .await;
    let error = failure(&sandbox, &site.url("/a.m3u8")).await;
    assert!(error.starts_with("encoding failed: input_url: "), "{error}");
}
