//! What the worker keeps in a storage for itself: below a prefix that no client can name.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use ring::digest::{Context, SHA256};
use service::key;
use tokio::io::AsyncWriteExt as _;

use super::{Error, Storage, s3::Sink};
use crate::permit::Permit;

/// Where it is.
pub(crate) const PREFIX: &str = ".flux-parts";

/// Bytes of a file that is read whole.
const MAX_SMALL: usize = 1024 * 1024;

/// Length and SHA-256 of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sum {
    /// In bytes.
    pub(crate) size: u64,
    /// SHA-256.
    pub(crate) sha256: [u8; 32],
}

/// A [`Sum`] that is being taken.
pub(crate) struct Summing {
    size: u64,
    context: Context,
}

impl Default for Summing {
    fn default() -> Self {
        Self { size: 0, context: Context::new(&SHA256) }
    }
}

impl Summing {
    /// Takes what comes next.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.size += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.context.update(bytes);
    }

    /// All has come.
    pub(crate) fn finish(self) -> Sum {
        let sha256 = self.context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes");
        Sum { size: self.size, sha256 }
    }
}

/// A file that is read whole.
struct Small {
    path: String,
    content: Vec<u8>,
}

fn push(small: &Mutex<Small>, bytes: &[u8]) -> Result<(), Error> {
    let mut small = small.lock().unwrap_or_else(PoisonError::into_inner);
    if small.content.len() + bytes.len() > MAX_SMALL {
        return Err(Error::Damaged { path: small.path.clone(), problem: "is too large".to_owned() });
    }
    small.content.extend_from_slice(bytes);
    Ok(())
}

impl Sink for Arc<Mutex<Small>> {
    async fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
        push(self, bytes)
    }
}

/// A file that is copied to this machine.
struct Copying<'a> {
    file: tokio::fs::File,
    into: &'a Path,
    summing: Summing,
}

impl Sink for Copying<'_> {
    async fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.summing.add(bytes);
        self.file.write_all(bytes).await.map_err(Error::io("write", self.into))
    }
}

/// Whether a path below the prefix is one of the worker's own.
pub(super) fn check(path: &str) -> Result<(), Error> {
    let inner = path.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('/'));
    inner.map_or(Err(key::Error::Reserved), key::check_prefix).map_err(Error::Path)
}

impl Storage {
    /// Reads a small file of the worker's own; `None` where there is none.
    ///
    /// # Errors
    /// When it cannot be read, or is not small.
    pub(crate) async fn read_small(&self, path: &str, permit: &Permit) -> Result<Option<Vec<u8>>, Error> {
        check(path)?;
        let small = Arc::new(Mutex::new(Small { path: path.to_owned(), content: Vec::new() }));
        let mut shared = Arc::clone(&small);
        let there = match self {
            Self::S3(s3) => s3.read(path, permit, &mut shared).await?,
            Self::Local(local) => local.read(path, permit, move |bytes| push(&shared, bytes)).await?,
        };
        let content = std::mem::take(&mut small.lock().unwrap_or_else(PoisonError::into_inner).content);
        Ok(there.then_some(content))
    }

    /// Brings a file of the worker's own to `into`, and proves it to be the one that was stored.
    ///
    /// # Errors
    /// When it is missing, another, or cannot be read or written.
    pub(crate) async fn fetch(&self, path: &str, sum: &Sum, into: &Path, permit: &Permit) -> Result<(), Error> {
        check(path)?;
        let damaged = |problem: &str| Error::Damaged { path: path.to_owned(), problem: problem.to_owned() };
        let found = match self {
            Self::S3(s3) => {
                let file = tokio::fs::File::create(into).await.map_err(Error::io("write", into))?;
                let mut copy = Copying { file, into, summing: Summing::default() };
                let there = s3.read(path, permit, &mut copy).await?;
                copy.file.flush().await.map_err(Error::io("write", into))?;
                there.then(|| copy.summing.finish())
            }
            Self::Local(local) => local.copy(path, into, permit).await?,
        };
        match found {
            None => Err(damaged("is missing")),
            Some(found) if found.size != sum.size => {
                Err(damaged(&format!("has {} bytes instead of {}", found.size, sum.size)))
            }
            Some(found) if found.sha256 != sum.sha256 => Err(damaged("has another SHA-256 than when it was stored")),
            Some(_) => Ok(()),
        }
    }

    /// Removes everything below a path of the worker's own, finished or not. There may be nothing.
    ///
    /// # Errors
    /// When something may be left.
    pub(crate) async fn remove(&self, path: &str, permit: &Permit) -> Result<(), Error> {
        check(path)?;
        match self {
            Self::S3(s3) => s3.remove(&format!("{path}/"), permit).await,
            Self::Local(local) => local.remove(path).await,
        }
    }

    /// Leaves a marker, for workers that may have the same storage. The inner error is why it may not be left or seen.
    ///
    /// # Errors
    /// When it cannot be written now.
    pub(crate) async fn mark(&self, path: &str, permit: &Permit) -> Result<Result<(), String>, Error> {
        check(path)?;
        match self {
            Self::S3(s3) => s3.mark(path, permit).await,
            Self::Local(local) => local.mark(path).await.map(Ok),
        }
    }

    /// Whether the marker is seen here.
    ///
    /// # Errors
    /// When that cannot be found out.
    pub(crate) async fn is_marked(&self, path: &str) -> Result<bool, Error> {
        check(path)?;
        match self {
            Self::S3(s3) => s3.is_marked(path).await,
            Self::Local(local) => local.is_marked(path).await,
        }
    }
}
