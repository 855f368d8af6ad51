//! A disk that is full.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use e2e::{Sandbox, clips, job};
use rstest::rstest;

/// A file system with room for half a megabyte; unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where this process may not mount.
    fn mount(folder: &Path) -> Option<Self> {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=512k", "tmpfs"]).arg(folder).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(folder.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the worker is killed only after this.
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[rstest]
#[case::in_service("info")]
// ffmpeg then says more than errors.
#[case::in_development("debug")]
#[tokio::test]
async fn a_full_disk_is_named(#[case] log_level: &str) {
    let sandbox = Sandbox::new();
    let disk = SmallDisk::mount(&sandbox.work_dir());
    let worker = if disk.is_some() {
        sandbox.worker()
    } else {
        // Not as good, but it is what ffmpeg says there.
        let said = "av_interleaved_write_frame(): No space left on device";
        let ffmpeg = sandbox.script("full-disk", &format!("echo '{said}' >&2\nexit 1"));
        sandbox.worker().env("FFMPEG_PATH", &ffmpeg.display())
    };
    let worker = worker.env("LOG_LEVEL", log_level).start().await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    let input = sandbox.input(&clips::long());
    let error = plane.failed(&job(&input, "480p_h264", "local", "video.mp4")).await;
    assert_eq!(error, "encoding failed: the disk of WORK_DIR is full");
    sandbox.clean().await;
    assert_eq!(sandbox.outputs(), [""; 0]);
    assert_eq!(worker.status().await.current_jobs, 0);
    drop(disk);
}
