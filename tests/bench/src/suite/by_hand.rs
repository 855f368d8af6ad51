//! The same ffmpeg command as the service runs for a whole job, run by hand.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result};
use e2e::{Sandbox, Worker, job, sandbox};
use tempfile::TempDir;

use crate::spy::{self, Encode, Spy};

/// What a worker asks ffmpeg to do, and which folders it makes for that.
#[derive(Debug)]
pub(super) struct ByHand {
    encode: Encode,
    folders: Vec<PathBuf>,
}

impl ByHand {
    /// Has a worker whose ffmpeg is the spy encode the input, whole, and looks at how.
    ///
    /// # Errors
    /// When the spy saw nothing.
    pub(super) async fn learn(
        sandbox: &Sandbox,
        worker: &Worker,
        spy: &Spy,
        input: &str,
        preset: &str,
    ) -> Result<Self> {
        let plane = sandbox.plane(&[worker.address()]).start().await;
        let path = format!("learn/{preset}.mp4");
        plane.completed(&job(input, preset, "local", &path)).await;
        let output = sandbox.output_dir().join(path);
        let files = sandbox::files(&output);
        let folders = files.iter().filter_map(|file| Path::new(file).parent().map(Path::to_owned)).collect();
        Ok(Self { encode: spy.encode()?, folders })
    }

    /// Seconds that ffmpeg takes.
    ///
    /// # Errors
    /// When it fails.
    pub(super) fn encode(&self, sandbox: &Sandbox) -> Result<f64> {
        let (_folder, made) = self.place(sandbox)?;
        let start = Instant::now();
        self.encode.again(&made)?;
        Ok(start.elapsed().as_secs_f64())
    }

    /// Seconds that it takes to encode both halves of a source at once, each of so many seconds, with one thread.
    ///
    /// # Errors
    /// When one of them fails.
    pub(super) fn encode_halves(&self, sandbox: &Sandbox, half: f64) -> Result<f64> {
        let places = [self.place(sandbox)?, self.place(sandbox)?];
        let start = Instant::now();
        thread::scope(|scope| {
            let halves = [0.0, half].into_iter().zip(&places);
            let halves = halves.map(|(from, (_, made))| scope.spawn(move || self.encode.part(from, half).again(made)));
            let halves: Vec<_> = halves.collect();
            halves.into_iter().try_for_each(|half| half.join().expect("it does not panic"))
        })?;
        Ok(start.elapsed().as_secs_f64())
    }

    /// Seconds that ffmpeg and cp take, and those that it takes to look at the source and at what was made of it.
    ///
    /// # Errors
    /// When one of them fails.
    pub(super) fn encode_and_copy(&self, sandbox: &Sandbox, input: &str) -> Result<(f64, f64)> {
        let (folder, made) = self.place(sandbox)?;
        let start = Instant::now();
        self.encode.again(&made)?;
        spy::copy(&made, &folder.path().join("copy"))?;
        let encoded = start.elapsed().as_secs_f64();
        spy::check(input, &Self::entry(&made)?)?;
        Ok((encoded, start.elapsed().as_secs_f64() - encoded))
    }

    /// What a player would open.
    fn entry(made: &Path) -> Result<PathBuf> {
        let is_file = |name: &str| Path::new(name).extension().is_some_and(|extension| extension == "mp4");
        let is_entry = |name: &String| name == "master.m3u8" || is_file(name);
        let name = sandbox::files(made).into_iter().find(is_entry).context("there is nothing to play")?;
        Ok(made.join(name))
    }

    /// A folder, and one in it for what ffmpeg makes.
    fn place(&self, sandbox: &Sandbox) -> Result<(TempDir, PathBuf)> {
        let folder = tempfile::tempdir_in(sandbox.path())?;
        let made = folder.path().join("made");
        for part in self.folders.iter().map(PathBuf::as_path).chain([Path::new("")]) {
            fs::create_dir_all(made.join(part))?;
        }
        Ok((folder, made))
    }
}
