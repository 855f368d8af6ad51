//! What ffprobe tells of sources and outputs.

use std::path::Path;

use serde_json::Value;
use tokio::process::Command;

/// A source or an output.
#[derive(Debug, PartialEq)]
pub(super) struct Facts {
    /// Width and height as stored.
    pub(super) size: (u64, u64),
    /// Shape of a pixel.
    pub(super) pixel: String,
    /// True when a player must turn the picture.
    pub(super) is_turned: bool,
    /// Channels of the sound; `None` without sound.
    pub(super) channels: Option<u64>,
    /// When frames are shown, in seconds after the first, in order; `None` for a frame without a time.
    pub(super) frames: Vec<Option<f64>>,
    /// How much later the sound starts than the picture, in seconds.
    pub(super) sound_after: Option<f64>,
}

/// How frames are counted.
#[derive(Debug, Clone, Copy)]
enum Count {
    /// As they come out of the decoder.
    Decoded,
    /// As they lie in the container.
    Stored,
}

/// Facts of a source: its frames are those that a decoder gives.
pub(super) async fn of_source(path: &Path) -> Facts {
    facts(path, Count::Decoded).await
}

/// Facts of an output: each of its packets is a frame.
pub(super) async fn of_output(path: &Path) -> Facts {
    facts(path, Count::Stored).await
}

async fn facts(path: &Path, count: Count) -> Facts {
    let frames = match count {
        Count::Decoded => "frame=stream_index,best_effort_timestamp_time",
        Count::Stored => "packet=stream_index,pts_time",
    };
    let entries = format!(
        "stream=index,codec_type,width,height,sample_aspect_ratio,channels:stream_side_data=rotation:\
         stream_disposition=attached_pic:{frames}"
    );
    let printed = probe(path, &["-of", "json", "-show_entries", &entries]).await;
    let all: Value = serde_json::from_str(&printed).expect("JSON");
    let streams = all["streams"].as_array().expect("streams");
    let picture = picture(streams);
    let sound = streams.iter().find(|stream| stream["codec_type"] == "audio");
    let shown = times(&all, picture);
    let first = |times: &[Option<f64>]| times.iter().flatten().copied().next();
    let start = first(&shown).unwrap_or(0.0);
    let heard = sound.and_then(|sound| first(&times(&all, sound)));
    Facts {
        size: size(picture),
        pixel: picture["sample_aspect_ratio"].as_str().unwrap_or("1:1").to_owned(),
        is_turned: picture["side_data_list"].to_string().contains("rotation"),
        channels: sound.and_then(|sound| sound["channels"].as_u64()),
        frames: shown.iter().map(|time| time.map(|time| time - start)).collect(),
        sound_after: heard.map(|heard| heard - start),
    }
}

/// The largest picture that is not a cover.
fn picture(streams: &[Value]) -> &Value {
    let is_picture = |stream: &&Value| stream["codec_type"] == "video" && stream["disposition"]["attached_pic"] != 1;
    streams.iter().filter(is_picture).max_by_key(|stream| size(stream)).expect("a picture")
}

fn size(stream: &Value) -> (u64, u64) {
    (stream["width"].as_u64().expect("a width"), stream["height"].as_u64().expect("a height"))
}

/// When the frames of a stream are shown or heard, in order.
fn times(all: &Value, stream: &Value) -> Vec<Option<f64>> {
    let frames = ["frames", "packets"].iter().filter_map(|list| all[list].as_array()).flatten();
    let time = |frame: &Value| {
        let time = ["best_effort_timestamp_time", "pts_time"].iter().find_map(|name| frame[name].as_str());
        time.and_then(|time| time.parse::<f64>().ok())
    };
    let mut times: Vec<_> = frames.filter(|frame| frame["stream_index"] == stream["index"]).map(time).collect();
    times.sort_by(|one, other| one.partial_cmp(other).expect("times are numbers"));
    times
}

/// What ffprobe prints.
pub(super) async fn probe(path: &Path, args: &[&str]) -> String {
    let output = Command::new("ffprobe").args(["-v", "error"]).args(args).arg(path).kill_on_drop(true).output().await;
    String::from_utf8(output.expect("ffprobe is installed").stdout).expect("UTF-8")
}
