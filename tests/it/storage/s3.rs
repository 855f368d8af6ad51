//! Results in S3, read back with the SDK.

use std::{collections::BTreeMap, fs, path::Path, time::SystemTime};

use e2e::{Plane, S3Server, Sandbox, Worker, clips, job, s3, sandbox::files, until};
use reqwest::StatusCode;
use serde_json::json;

/// A worker with this S3 server, under a control plane.
async fn stored(sandbox: &Sandbox, server: &S3Server) -> (Worker, Plane) {
    let worker = sandbox.worker().s3(&server.endpoint(), s3::ACCESS_KEY, s3::SECRET_KEY).start().await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    (worker, plane)
}

/// The bytes of an object.
async fn read(server: &S3Server, key: &str) -> Vec<u8> {
    let object = server.client().get_object().bucket(s3::BUCKET).key(key).send().await.expect("the object is there");
    object.body.collect().await.expect("the object can be read").to_vec()
}

/// A file is an MP4 whose index comes before its data.
fn assert_playable(bytes: &[u8]) {
    let position = |name: &[u8]| bytes.windows(4).position(|window| window == name);
    assert!(position(b"ftyp") == Some(4) && position(b"moov") < position(b"mdat"), "no fast-start MP4");
}

#[tokio::test]
async fn a_file_carries_its_type_and_the_metadata_of_its_request() {
    let sandbox = Sandbox::new();
    let server = sandbox.s3().await;
    let (_worker, plane) = stored(&sandbox, &server).await;
    let mut request = job(&sandbox.input(&clips::short()), "480p_h264", "s3", "a/video.mp4");
    request["output"]["metadata"] = json!({"title": "a clip", "owner": "e2e"});
    assert_eq!(plane.completed(&request).await, "s3://media/a/video.mp4");
    let head = server.client().head_object().bucket(s3::BUCKET).key("a/video.mp4").send().await.expect("it is there");
    assert_eq!(head.content_type(), Some("video/mp4"));
    let mut metadata: BTreeMap<_, _> = head.metadata().expect("metadata").iter().collect();
    assert!(metadata.remove(&"flux-job".to_owned()).is_some(), "by which a later attempt knows the job");
    let metadata: Vec<_> = metadata.into_iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(metadata, [("owner", "e2e"), ("title", "a clip")]);
    assert_playable(&read(&server, "a/video.mp4").await);
    sandbox.clean().await;
}

#[tokio::test]
async fn a_ladder_arrives_segments_first_and_master_last() {
    let sandbox = Sandbox::new();
    let server = sandbox.s3().await;
    let (_worker, plane) = stored(&sandbox, &server).await;
    let request = job(&sandbox.input(&clips::short()), "hls_720p_abr", "s3", "show/1");
    assert_eq!(plane.completed(&request).await, "s3://media/show/1/master.m3u8");
    let bucket = server.folder.join(s3::BUCKET);
    let kinds = ["ts", "m3u8", "master"].map(|kind| times(&bucket, kind));
    assert_eq!(kinds.each_ref().map(Vec::len), [3, 3, 1], "{:?}", files(&bucket));
    assert!(kinds[0].iter().max() <= kinds[1].iter().min(), "a media playlist came before a segment");
    assert!(kinds[1].iter().max() <= kinds[2].iter().min(), "the master came before a media playlist");
    for key in server.keys().await {
        let head = server.client().head_object().bucket(s3::BUCKET).key(&key).send().await.expect("it is there");
        let playlist = Path::new(&key).extension().is_some_and(|extension| extension == "m3u8");
        let expected = if playlist { "application/vnd.apple.mpegurl" } else { "video/mp2t" };
        assert_eq!(head.content_type(), Some(expected), "{key}");
    }
}

/// When the files of a kind were written.
fn times(bucket: &Path, kind: &str) -> Vec<SystemTime> {
    let of_kind = |name: &&String| match kind {
        "master" => name.ends_with("master.m3u8"),
        kind => name.ends_with(&format!(".{kind}")) && !name.ends_with("master.m3u8"),
    };
    let names = files(bucket);
    let modified = |name: &String| fs::metadata(bucket.join(name)).and_then(|file| file.modified());
    names.iter().filter(of_kind).map(|name| modified(name).expect("a time")).collect()
}

#[tokio::test]
async fn a_large_file_arrives_whole_in_parts() {
    let sandbox = Sandbox::new();
    let server = sandbox.s3().await;
    let (_worker, plane) = stored(&sandbox, &server).await;
    plane.completed(&job(&sandbox.input(&clips::noise()), "480p_h264", "s3", "large.mp4")).await;
    let bytes = read(&server, "large.mp4").await;
    assert!(bytes.len() > 10 * 1024 * 1024, "{} bytes are no more than one part", bytes.len());
    assert_playable(&bytes);
    let head = server.client().head_object().bucket(s3::BUCKET).key("large.mp4").send().await.expect("it is there");
    assert_eq!(head.content_type(), Some("video/mp4"));
    assert_eq!(server.unfinished(), [""; 0]);
}

#[tokio::test]
async fn an_input_in_s3_is_read_although_loopback_is_not_allowed() {
    let sandbox = Sandbox::new();
    let server = sandbox.s3().await;
    let clip = fs::read(clips::short()).expect("a clip");
    let put = server.client().put_object().bucket(s3::BUCKET).key("in/a clip.mp4").body(clip.into());
    put.send().await.expect("stored");
    let (_worker, plane) = stored(&sandbox, &server).await;
    plane.completed(&job("s3://media/in/a%20clip.mp4", "480p_h264", "s3", "out.mp4")).await;
    assert_playable(&read(&server, "out.mp4").await);
    let error = plane.failed(&job("s3://media/in/none.mp4", "480p_h264", "s3", "none.mp4")).await;
    assert!(error.starts_with("encoding failed: input_url: ") && error.contains("404"), "{error}");
    // The server's address is trusted for S3, not for whoever names it.
    let url = format!("{}/media/in/clip.mp4", server.endpoint());
    let error = plane.failed(&job(&url, "480p_h264", "s3", "none.mp4")).await;
    assert!(error.contains("loopback"), "{error}");
    assert_eq!(server.keys().await, ["in/a clip.mp4", "out.mp4"]);
}

#[tokio::test]
async fn a_key_may_hold_spaces_and_any_script() {
    let sandbox = Sandbox::new();
    let server = sandbox.s3().await;
    let (_worker, plane) = stored(&sandbox, &server).await;
    let key = "映画 2026/Ünï code+&?#%41.mp4";
    let url = plane.completed(&job(&sandbox.input(&clips::flash()), "480p_h264", "s3", key)).await;
    let parsed = url::Url::parse(&url).expect("a URL");
    assert_eq!((parsed.scheme(), parsed.host_str()), ("s3", Some("media")), "{url}");
    assert_eq!(server.keys().await, [key]);
    assert_playable(&read(&server, key).await);
    // What one job made, the next can read by the URL it was told.
    plane.completed(&job(&url, "480p_h264", "s3", "again.mp4")).await;
}

#[tokio::test]
async fn a_storage_that_is_not_configured_is_refused_before_the_encode() {
    let sandbox = Sandbox::new();
    let server = sandbox.s3().await;
    let local = sandbox.worker().start().await;
    let remote = sandbox.worker().env("STORAGE_TYPE", "s3").without("LOCAL_STORAGE_DIR");
    let remote = remote.s3(&server.endpoint(), s3::ACCESS_KEY, s3::SECRET_KEY).start().await;
    for (worker, storage, variable) in [(local, "s3", "S3_BUCKET"), (remote, "local", "LOCAL_STORAGE_DIR")] {
        let plane = sandbox.plane(&[worker.address()]).start().await;
        let (status, answer) = plane.post(&job(&sandbox.input(&clips::short()), "480p_h264", storage, "a.mp4")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        let error = answer["error"].as_str().expect("an error");
        assert!(error.contains("output.storage") && error.contains(variable), "{error}");
    }
}

#[tokio::test]
async fn what_needs_s3_is_refused_where_no_worker_has_credentials() {
    let sandbox = Sandbox::new();
    let server = sandbox.s3().await;
    let worker = sandbox.worker().s3_without_credentials(&server.endpoint()).start().await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    let input = sandbox.input(&clips::short());
    for (input, storage) in [(input.as_str(), "s3"), ("s3://media/in.mp4", "local")] {
        let (status, answer) = plane.post(&job(input, "480p_h264", storage, "a.mp4")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        let error = answer["error"].as_str().expect("an error");
        assert!(error.contains("no credentials for S3 (set AWS_ACCESS_KEY_ID"), "{error}");
    }
    plane.completed(&job(&input, "480p_h264", "local", "a.mp4")).await;
}

#[tokio::test]
async fn a_worker_without_credentials_leaves_the_jobs_that_need_s3_to_others() {
    let sandbox = Sandbox::new();
    let server = sandbox.s3().await;
    let bad = sandbox.worker().s3_without_credentials(&server.endpoint()).start().await;
    let good = sandbox.worker().s3(&server.endpoint(), s3::ACCESS_KEY, s3::SECRET_KEY).start().await;
    let plane = sandbox.plane(&[bad.address(), good.address()]).start().await;
    // The workers take turns, and a job has one attempt here.
    for path in ["a.mp4", "b.mp4"] {
        let url = plane.completed(&job(&sandbox.input(&clips::short()), "480p_h264", "s3", path)).await;
        assert_eq!(url, format!("s3://media/{path}"));
    }
    sandbox.clean().await;
}

/// Another worker is better than one that has failed the job, but not if it cannot do the job at all.
#[tokio::test]
async fn a_job_returns_to_the_worker_that_failed_it_where_the_others_have_no_credentials() {
    let sandbox = Sandbox::new();
    let server = sandbox.s3().await;
    let failed = sandbox.path().join("failed");
    let once = format!("[ -e {0} ] || {{ touch {0}; exec ffmpeg -no-such-option 1 \"$@\"; }}", failed.display());
    let once = sandbox.script("ffmpeg-that-fails-once", &format!("{once}; exec ffmpeg \"$@\""));
    let bad = sandbox.worker().s3_without_credentials(&server.endpoint()).start().await;
    let good = sandbox.worker().s3(&server.endpoint(), s3::ACCESS_KEY, s3::SECRET_KEY);
    let good = good.env("FFMPEG_PATH", &once.display()).start().await;
    let plane = sandbox.plane(&[bad.address(), good.address()]).env("JOB_MAX_ATTEMPTS", "2").start().await;
    let input = sandbox.input(&clips::short());
    let id = plane.accepted(&job(&input, "480p_h264", "s3", "a.mp4")).await;
    until("it fails", async || failed.exists()).await;
    // After this one it is the turn of the worker that has failed.
    plane.completed(&job(&input, "480p_h264", "local", "b.mp4")).await;
    let last = plane.events(&id).await.last().await;
    assert_eq!((last["status"].as_str(), last["attempt"].as_u64()), (Some("JOB_STATUS_COMPLETED"), Some(2)), "{last}");
    sandbox.clean().await;
}

#[tokio::test]
async fn segments_go_up_while_others_are_encoded_and_are_taken_back_after_a_cancellation() {
    let sandbox = Sandbox::new();
    let server = sandbox.s3().await;
    let (_worker, plane) = stored(&sandbox, &server).await;
    let input = sandbox.input(&clips::talking("1280x720", 60));
    let id = plane.accepted(&job(&input, "hls_720p_abr", "s3", "show/1")).await;
    until("a segment is there", async || !server.keys().await.is_empty()).await;
    let there = plane.job(&id).await;
    assert_eq!(there["status"], "JOB_STATUS_PROCESSING", "{there}");
    assert!(server.keys().await.iter().all(|key| key.contains("/segment_")), "something tells of the segments");
    plane.cancel(&id).await;
    assert_eq!(plane.events(&id).await.last().await["status"], "JOB_STATUS_CANCELLED");
    assert_eq!(server.keys().await, [""; 0]);
    sandbox.clean().await;
}

#[tokio::test]
async fn a_ladder_of_what_has_no_picture_fails_and_frees_its_slot() {
    let sandbox = Sandbox::new();
    let server = sandbox.s3().await;
    let (worker, plane) = stored(&sandbox, &server).await;
    let sound = clips::made("sound.m4a", &["-f", "lavfi", "-i", "sine=duration=2", "-c:a", "aac"]);
    let id = plane.accepted(&job(&sandbox.input(&sound), "hls_720p_abr", "s3", "show/1")).await;
    assert_eq!(plane.events(&id).await.last().await["status"], "JOB_STATUS_FAILED");
    assert_eq!(server.keys().await, [""; 0]);
    worker.running(0).await;
    sandbox.clean().await;
}
