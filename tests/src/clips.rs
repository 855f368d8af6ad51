//! Sources made with ffmpeg, kept beside the build from one run to the next.

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::PathBuf,
    process::Command,
};

use crate::binary::cache_folder;

/// A test pattern of this size and length with a tone.
#[must_use]
pub fn talking(size: &str, seconds: u32) -> PathBuf {
    let picture = format!("testsrc2=size={size}:rate=25:duration={seconds}");
    let sound = format!("sine=frequency=440:sample_rate=48000:duration={seconds}");
    let inputs = ["-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &sound];
    made("clip.mp4", &[&inputs[..], &["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"]].concat())
}

/// A second of small test pattern with a tone: the cheapest source there is.
#[must_use]
pub fn short() -> PathBuf {
    talking("160x90", 1)
}

/// Half a minute of small test pattern with a tone.
#[must_use]
pub fn long() -> PathBuf {
    talking("160x90", 30)
}

/// A handful of frames: encoded in no time.
#[must_use]
pub fn flash() -> PathBuf {
    let picture = "testsrc2=size=160x90:rate=5:duration=1";
    made("flash.mp4", &["-f", "lavfi", "-i", picture, "-c:v", "libx264", "-preset", "ultrafast"])
}

/// Noise that no encoder can shrink: 480p, and above 10 MB at the quality of `480p_h264` too.
#[must_use]
pub fn noise() -> PathBuf {
    let picture = "nullsrc=size=854x480:rate=25:duration=3,geq=random(1)*255:128:128";
    let encode = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "12", "-pix_fmt", "yuv420p"];
    made("noise.mp4", &[&["-f", "lavfi", "-i", picture][..], &encode, &["-movflags", "+faststart"]].concat())
}

/// What ffmpeg makes with these arguments, in a file whose name ends with `name`. Made once.
#[must_use]
pub fn made(name: &str, args: &[&str]) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    args.hash(&mut hasher);
    let folder = cache_folder();
    let path = folder.join(format!("{:016x}-{name}", hasher.finish()));
    if !path.exists() {
        fs::create_dir_all(&folder).expect("the target folder can be written");
        // Several tests may want the same clip at once; a rename shows it whole or not at all.
        let draft = tempfile::tempdir_in(&folder).expect("the target folder can be written");
        let draft = draft.path().join(name);
        let made = Command::new("ffmpeg").args(["-v", "error", "-nostdin"]).args(args).arg(&draft).output();
        let made = made.expect("ffmpeg is installed");
        assert!(made.status.success(), "{name}: {}", String::from_utf8_lossy(&made.stderr));
        fs::rename(&draft, &path).expect("the same file system");
    }
    path
}
