//! One request that passes, and one a rule that does not.

use rstest::rstest;
use serde_json::{Value, json};

use super::*;

/// A spec that is good for any test.
pub(crate) fn spec() -> JobSpec {
    parse(good()).check().expect("a good request")
}

fn good() -> Value {
    json!({
        "input_url": "https://example.com/video.mp4",
        "preset": "720p_h264",
        "output": {"storage": "s3", "path": "output/video.mp4", "metadata": {"title": "x"}, "type": "single"},
        "callback_url": "https://example.com/hook",
        "split": "auto",
        "a field of a later version": 1,
    })
}

fn parse(request: Value) -> JobRequest {
    serde_json::from_value(request).expect("the right JSON types")
}

#[test]
fn a_good_request_keeps_what_was_asked() {
    let spec = spec();
    assert_eq!(spec.input_url, "https://example.com/video.mp4");
    assert_eq!(spec.preset.name, "720p_h264");
    assert_eq!((spec.output.storage, spec.output.kind), (Storage::S3, OutputType::Single));
    assert_eq!(spec.output.metadata["title"], "x");
}

#[rstest]
#[case("/input_url", Value::Null, "input_url: is required")]
#[case("/input_url", json!("ftp://h/a"), "input_url: must be an http, https, s3 or file URL")]
#[case("/preset", Value::Null, "preset: is required")]
#[case("/output", Value::Null, "output: is required")]
#[case("/output/storage", Value::Null, "output.storage: is required")]
#[case("/output/storage", json!("ftp"), "output.storage: must be s3 or local")]
#[case("/output/path", Value::Null, "output.path: is required")]
#[case("/output/path", json!("../x"), "output.path: holds a segment `.` or `..`")]
#[case("/output/path", json!("x/"), "output.path: must not end with `/`: the output is a single file")]
#[case("/output/metadata", json!({"a": "é"}), "output.metadata: values must be printable ASCII")]
#[case("/output/type", json!("hls"), "output.type: must be single, which is what preset 720p_h264 makes")]
#[case("/split", json!("always"), "split: must be auto or off")]
#[case("/callback_url", json!("x"), "callback_url: must be an absolute URL")]
fn a_wrong_field_is_named(#[case] field: &str, #[case] value: Value, #[case] message: &str) {
    let mut request = good();
    *request.pointer_mut(field).expect("a field of the good request") = value;
    assert_eq!(parse(request).check().expect_err("a wrong field").to_string(), message);
}

#[test]
fn an_unknown_preset_lists_the_names() {
    let mut request = good();
    request["preset"] = json!("4k");
    let message = parse(request).check().expect_err("an unknown preset").to_string();
    assert!(message.starts_with("preset: must be one of 480p_h264, 720p_h264, "), "{message}");
}

#[test]
fn a_directory_output_may_end_with_a_slash() {
    let mut request = good();
    request["preset"] = json!("hls_720p");
    request["output"] = json!({"storage": "local", "path": "hls/", "type": ""});
    assert_eq!(parse(request).check().expect("a good prefix").output.kind, OutputType::Hls);
}

#[test]
fn a_type_that_is_left_out_is_the_one_that_the_preset_makes() {
    let mut request = good();
    request["output"].as_object_mut().expect("an object").remove("type");
    assert_eq!(parse(request).check().expect("a good request"), spec());
}

#[test]
fn a_request_that_does_not_say_leaves_it_to_the_service() {
    let mut request = good();
    assert_eq!(parse(request.clone()).check().expect("a good request").split, Some(Split::Auto));
    request.as_object_mut().expect("an object").remove("split");
    assert_eq!(parse(request).check().expect("a good request").split, None);
}

#[test]
fn what_an_earlier_version_wrote_down_is_read() {
    let mut document = serde_json::to_value(spec()).expect("JSON");
    document.as_object_mut().expect("an object").remove("split");
    let read = serde_json::from_value::<JobSpec>(document).expect("a spec");
    assert_eq!(read, JobSpec { split: None, ..spec() });
}
