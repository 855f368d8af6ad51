//! Reads and removes what the worker keeps in the storage for itself.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Read as _, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Error, Local, blocking};
use crate::{
    permit::Permit,
    uploader::inner::{Sum, Summing},
};

/// How much is read at once, in bytes.
const PIECE: usize = 1024 * 1024;

impl Local {
    /// Hands the bytes of a file to `sink`. False where there is none. `sink` may block.
    pub(in crate::uploader) async fn read(
        &self,
        key: &str,
        permit: &Permit,
        mut sink: impl FnMut(&[u8]) -> Result<(), Error> + Send + 'static,
    ) -> Result<bool, Error> {
        let (path, permit) = (self.root.join(key), permit.clone());
        blocking(move || {
            let mut file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(Error::io("read", &path)(error)),
            };
            let mut buffer = vec![0; PIECE];
            loop {
                if permit.is_over() {
                    return Err(Error::Cancelled);
                }
                match file.read(&mut buffer).map_err(Error::io("read", &path))? {
                    0 => return Ok(true),
                    count => sink(&buffer[..count])?,
                }
            }
        })
        .await
    }

    /// Copies a file to `into`, and answers its length and SHA-256; `None` where there is none.
    pub(in crate::uploader) async fn copy(
        &self,
        key: &str,
        into: &Path,
        permit: &Permit,
    ) -> Result<Option<Sum>, Error> {
        let into = into.to_owned();
        let (mut copy, summing) =
            (File::create(&into).map_err(Error::io("write", &into))?, Arc::<Mutex<Summing>>::default());
        let sum = Arc::clone(&summing);
        let sink = move |bytes: &[u8]| {
            sum.lock().unwrap_or_else(PoisonError::into_inner).add(bytes);
            copy.write_all(bytes).map_err(Error::io("write", &into))
        };
        let there = self.read(key, permit, sink).await?;
        let summing = std::mem::take(&mut *summing.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(there.then(|| summing.finish()))
    }

    /// Removes a folder with everything in it; links in it are not followed.
    pub(in crate::uploader) async fn remove(&self, prefix: &str) -> Result<(), Error> {
        let path = self.root.join(prefix);
        blocking(move || match fs::remove_dir_all(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(Error::io("remove", &path)),
        })
        .await
    }

    /// Leaves an empty file.
    pub(in crate::uploader) async fn mark(&self, key: &str) -> Result<(), Error> {
        let path = self.root.join(key);
        blocking(move || {
            let folder = path.parent().unwrap_or(Path::new("/"));
            DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(Error::io("create", folder))?;
            File::create(&path).and_then(|file| file.sync_all()).map_err(Error::io("write", &path))
        })
        .await
    }

    /// Whether there is such a file.
    pub(in crate::uploader) async fn is_marked(&self, key: &str) -> Result<bool, Error> {
        let path = self.root.join(key);
        blocking(move || path.try_exists().map_err(Error::io("look at", &path))).await
    }
}
