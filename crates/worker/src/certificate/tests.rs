//! Real outputs.

use preset::Preset;
use rstest::rstest;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    proof::tests::fixture::{DASH, HLS, Job, LADDER, LIMITS, MP4, tools},
    validator::{Subject, Validator},
};

#[rstest]
#[case::hls(&HLS)]
#[case::ladder(&LADDER)]
#[case::dash(&DASH)]
#[tokio::test]
async fn a_whole_output_is_counted_without_decoding(#[case] preset: &'static Preset) {
    let job = Job::new(preset, (25, 1), 0, &[0, 130]);
    let (output, source) = (job.whole().await, job.probe().await);
    let validator = Validator { tools: tools(), level: Level::Minimal, timeout: LIMITS.total };
    let (folder, cancel) = (job.at("proof"), CancellationToken::new());
    let subject = Subject { preset, source: &source, output: &output, scratch: &folder };
    let tracks = validator.tracks(&subject, &cancel).await.expect("are there");
    let renditions = preset.renditions.len();
    let survey = Survey::default();
    let counts = count(&tools(), renditions, &tracks, &survey, &folder, LIMITS.total, &cancel).await.expect("counts");
    assert_eq!(counts.frames, vec![Some(130); renditions]);
    assert_eq!(counts.sample_rate, Some(48_000));
    // 5.2 s, and what the encoder adds at both ends.
    assert!(counts.samples.is_some_and(|samples| (249_600..=252_928).contains(&samples)), "{counts:?}");
}

#[tokio::test]
async fn a_file_is_counted_by_its_index() {
    let job = Job::new(&MP4, (25, 1), 0, &[0, 130]);
    let (output, source) = (job.whole().await, job.probe().await);
    let validator = Validator { tools: tools(), level: Level::Minimal, timeout: LIMITS.total };
    let subject = Subject { preset: &MP4, source: &source, output: &output, scratch: &job.at("proof") };
    let report = validator.validate(&subject, &CancellationToken::new()).await.expect("can be judged");
    let counts = Counts::of_file(report.index.expect("a file"));
    assert_eq!((counts.frames, counts.sample_rate), (vec![Some(130)], Some(48_000)));
    assert!(counts.samples.is_some_and(|samples| (249_600..=252_928).contains(&samples)), "{:?}", counts.samples);
}

/// ffmpeg ends all variants of a playlist with the first of them.
#[tokio::test]
async fn a_fragment_that_cannot_be_read_spoils_no_other_count() {
    let job = Job::new(&DASH, (25, 1), 0, &[0, 130]);
    let (output, source) = (job.whole().await, job.probe().await);
    let validator = Validator { tools: tools(), level: Level::Minimal, timeout: LIMITS.total };
    let (folder, cancel) = (job.at("proof"), CancellationToken::new());
    let subject = Subject { preset: &DASH, source: &source, output: &output, scratch: &folder };
    let tracks = validator.tracks(&subject, &cancel).await.expect("are there");
    let broken = &tracks[0].pieces[1];
    let mut content = std::fs::read(broken).expect("readable");
    let at = content.windows(4).position(|name| name == b"trun").expect("has a table");
    content[at + 8..at + 12].fill(0xff);
    std::fs::write(broken, content).expect("writable");
    let counts = count(&tools(), 2, &tracks, &Survey::default(), &folder, LIMITS.total, &cancel).await.expect("counts");
    assert_eq!(counts.frames[1], Some(130), "{counts:?}");
    assert_ne!(counts.frames[0], Some(130), "{counts:?}");
}

#[tokio::test]
async fn ffmpeg_tells_its_version() {
    let version = Version::default().of(&tools()).await;
    assert!(version.starts_with(|first: char| first.is_ascii_alphanumeric()), "{version}");
    let none = Tools { ffmpeg: "/nonexistent/ffmpeg".into(), ..tools() };
    assert_eq!(Version::default().of(&none).await, "unknown");
}

#[test]
fn a_certificate_tells_what_is_known() {
    let found = Counts { frames: vec![Some(250)], samples: None, sample_rate: None };
    let facts = Facts {
        preset: &MP4,
        source: &Media::default(),
        level: Level::Strict,
        chunks: None,
        frames: None,
        samples: None,
        found,
        files: Vec::new(),
        ffmpeg_version: "5.1".into(),
        commands: vec![vec!["ffmpeg".into()]],
    };
    let certificate = facts.certify();
    assert_eq!((certificate.renditions[0].frames_expected, certificate.renditions[0].frames_found), (None, Some(250)));
    assert_eq!(certificate.audio, None);
    let names: Vec<_> = certificate.checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(names, ["layout", "streams", "decode"]);
}

#[rstest]
#[case::counted(vec![Some(250)], true)]
#[case::of_no_rendition(vec![], false)]
#[case::not_known(vec![None], false)]
fn frames_are_certified_where_they_were_counted(#[case] frames: Vec<Option<u64>>, #[case] is_certified: bool) {
    let facts = Facts {
        preset: &MP4,
        source: &Media::default(),
        level: Level::Strict,
        chunks: None,
        frames: Some(250),
        samples: None,
        found: Counts { frames, ..Counts::default() },
        files: Vec::new(),
        ffmpeg_version: String::new(),
        commands: Vec::new(),
    };
    let checks = facts.certify().checks;
    assert_eq!(checks.iter().any(|check| check.name == "frames"), is_certified, "{checks:?}");
}
