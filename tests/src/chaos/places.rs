//! Where outputs appear, and how many frames they have.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    load::{Order, Source},
    output,
};
use crate::{Sandbox, s3::BUCKET};

/// The storages as folders: the S3 server keeps each object as a file.
#[derive(Debug)]
pub struct Places {
    /// `LOCAL_STORAGE_DIR`.
    pub local: PathBuf,
    /// Folder of the S3 server.
    pub s3: PathBuf,
    frames: BTreeMap<Source, u64>,
}

impl Places {
    /// Those of a sandbox that has its sources.
    #[must_use]
    pub fn new(sandbox: &Sandbox) -> Self {
        let frames = Source::GOOD.into_iter().map(|source| {
            let path = sandbox.input_dir().join(source.file());
            (source, output::frames(&path).expect("a source can be decoded"))
        });
        Self { local: sandbox.output_dir(), s3: sandbox.path().join("s3"), frames: frames.collect() }
    }

    /// The file that players of this job are given.
    #[must_use]
    pub fn entry(&self, order: &Order) -> PathBuf {
        if order.storage == "s3" { self.s3.join(BUCKET).join(order.entry()) } else { self.local.join(order.entry()) }
    }

    /// The frames of a source; 0 where it has none.
    #[must_use]
    pub fn frames(&self, source: Source) -> u64 {
        self.frames.get(&source).copied().unwrap_or_default()
    }
}
