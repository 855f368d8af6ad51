//! How long and how often is measured, and with which inputs.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use e2e::{binary, clips};

/// How long and how often is measured.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Only shows that everything works.
    pub(crate) smoke: bool,
    /// Length of the longest benchmark.
    pub(crate) soak: Duration,
    runs: Option<usize>,
    only: Option<String>,
    clip: Option<PathBuf>,
}

impl Plan {
    /// A plan; `runs` and `clip` take the place of defaults, `only` those cases are measured whose name has it in it.
    pub(crate) fn new(
        smoke: bool,
        runs: Option<usize>,
        only: Option<String>,
        clip: Option<PathBuf>,
        soak: Duration,
    ) -> Self {
        Self { smoke, soak, runs, only, clip }
    }

    /// Whether a case of a benchmark is to be measured.
    pub(crate) fn wants(&self, case: &str) -> bool {
        self.only.as_ref().is_none_or(|only| case.contains(only.as_str()))
    }

    /// The one when it counts, the other when it only has to work.
    pub(crate) fn pick<T>(&self, real: T, smoke: T) -> T {
        if self.smoke { smoke } else { real }
    }

    /// How many runs, where the benchmark would make so many.
    pub(crate) fn runs(&self, usual: usize) -> usize {
        self.runs.unwrap_or(if self.smoke { 1 } else { usual }).max(1)
    }

    /// A film of this many seconds, 720p with sound: the clip, looped.
    pub(crate) fn film(&self, seconds: u32) -> PathBuf {
        if self.smoke {
            return clips::short();
        }
        let clip = self.clip.clone().or_else(shared_clip).unwrap_or_else(|| clips::talking("1280x720", 5));
        let clip = clip.canonicalize().expect("the clip is there").display().to_string();
        let input = ["-stream_loop", "-1", "-i", &clip, "-t", &seconds.to_string()].map(ToOwned::to_owned);
        let encode = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-c:a", "aac"].map(ToOwned::to_owned);
        let args: Vec<_> = input.iter().chain(&encode).map(String::as_str).collect();
        clips::made(&format!("film-{seconds}.mp4"), &args)
    }
}

/// A picture of a few rows, full of noise: its HLS segments are as large as a film's, but soon encoded.
pub(crate) fn ribbon(seconds: u32) -> PathBuf {
    let noise = "nullsrc=size=1280x16:rate=15:duration=60,geq=random(1)*255:random(2)*255:random(3)*255";
    let encode = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "20", "-pix_fmt", "yuv420p", "-g", "15"];
    let minute = clips::made("noise.mp4", &[&["-f", "lavfi", "-i", noise][..], &encode].concat());
    let minute = minute.display().to_string();
    clips::made("ribbon.mp4", &["-stream_loop", "-1", "-i", &minute, "-t", &seconds.to_string(), "-c", "copy"])
}

/// The folder of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Where results go unless somebody says otherwise.
pub(crate) fn output_folder() -> PathBuf {
    binary::scratch_folder().join("../bench")
}

fn shared_clip() -> Option<PathBuf> {
    Some(root().join("../shared/media/bunny.mp4")).filter(|clip| clip.is_file())
}
