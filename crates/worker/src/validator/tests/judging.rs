//! When there is no judgement.

use std::os::unix::fs::PermissionsExt as _;

use rstest::rstest;

use super::*;

#[tokio::test]
async fn a_program_that_cannot_be_started_is_named() {
    let mut bench = Bench::mp4("");
    let source = bench.probe("source.mp4").await;
    bench.tools.ffprobe = "/no/such/ffprobe".into();
    let cancel = CancellationToken::new();
    let error = bench.judge_against(&source, &MP4, "output.mp4", &cancel).await.expect_err("no ffprobe");
    assert!(matches!(error, Error::Start(_)) && error.to_string().starts_with("/no/such/ffprobe"), "{error}");
    assert_eq!(error.blame(), Blame::Infrastructure);
}

#[tokio::test]
async fn a_program_that_is_killed_judges_nothing() {
    let mut bench = Bench::mp4("");
    let source = bench.probe("source.mp4").await;
    let victim = bench.path("victim");
    std::fs::write(&victim, "#!/bin/sh\nkill -9 $$\n").expect("written");
    std::fs::set_permissions(&victim, std::fs::Permissions::from_mode(0o755)).expect("executable");
    bench.tools.ffmpeg = victim;
    let cancel = CancellationToken::new();
    let error = bench.judge_against(&source, &MP4, "output.mp4", &cancel).await.expect_err("killed");
    assert_eq!(error.to_string(), "ffmpeg was killed by signal 9");
}

#[tokio::test]
async fn a_step_that_takes_too_long_judges_nothing() {
    let mut bench = Bench::mp4("");
    let source = bench.probe("source.mp4").await;
    bench.timeout = Duration::from_millis(1);
    let cancel = CancellationToken::new();
    let error = bench.judge_against(&source, &MP4, "output.mp4", &cancel).await.expect_err("too short");
    assert!(matches!(error, Error::TimedOut(_)), "{error}");
}

#[tokio::test]
async fn a_cancelled_validation_judges_nothing() {
    let bench = Bench::mp4("");
    let source = bench.probe("source.mp4").await;
    let cancel = CancellationToken::new();
    cancel.cancel();
    let error = bench.judge_against(&source, &MP4, "output.mp4", &cancel).await.expect_err("cancelled");
    assert!(matches!(error, Error::Cancelled), "{error}");
}

#[rstest]
#[case("minimal", Ok(Level::Minimal))]
#[case("standard", Ok(Level::Standard))]
#[case("strict", Ok(Level::Strict))]
#[case("Strict", Err(UnknownLevel))]
fn a_level_is_one_of_three_words(#[case] text: &str, #[case] expected: Result<Level, UnknownLevel>) {
    assert_eq!(text.parse(), expected);
}
