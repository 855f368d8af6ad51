//! The parts of a split job in its storage.
//!
//! A part is a folder below a prefix that no client can name, `.flux-parts/<job>/<part>/`. It is published like an output:
//! its files first, and last a list of them, `part.json`, with their lengths and hashes. So a part is there whole or not
//! at all, and a later attempt of the same task finds it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use proto::v1::{Part, StoredFile};
use tokio::time::timeout;

use crate::{
    permit::Permit,
    uploader::{
        Artifact, Author, Content, Destination, Error, Storage,
        inner::{PREFIX, Sum, Summing},
    },
};

mod list;

/// Name of the list of a part's files.
const LIST: &str = "part.json";

/// Name of the marker in a folder that workers share.
const SHARED: &str = "shared";

/// How long a look at the marker may hold up whoever offers a task.
const LOOK: Duration = Duration::from_secs(2);

/// How many files of a part are fetched at once.
const FILES_AT_ONCE: usize = 4;

/// Name of a chunk's part.
pub(crate) fn chunk_name(index: usize) -> String {
    format!("chunk-{index:05}")
}

/// Name of the sound's part.
pub(crate) const AUDIO: &str = "audio";

/// Stores a part: its files, by the names that they get. They lie in `scratch`, the task's work folder. `parent` is the
/// job's id, `author` the attempt of the task.
///
/// # Errors
/// When it could not be stored whole, after what was there of it has been taken back.
pub(crate) async fn store(
    storage: &Storage,
    parent: &str,
    name: &str,
    files: Vec<(String, PathBuf)>,
    author: Option<&Author>,
    scratch: &Path,
    permit: &Permit,
) -> Result<Part, Error> {
    let root = scratch.join(format!("store-{name}"));
    let (folder, cancelled) = (root.clone(), permit.clone());
    let part = blocking(move || gather(&folder, files, &cancelled)).await?;
    let names = part.files.iter().map(|file| PathBuf::from(&file.path));
    let artifact = Artifact::directory(root, names.chain([PathBuf::from(LIST)]).collect(), Path::new(LIST));
    storage.publish(&artifact, &destination(parent, name, author), scratch, permit).await?;
    Ok(part)
}

/// The part that an earlier attempt of the same task has stored, if one has.
///
/// # Errors
/// When that cannot be found out now.
pub(crate) async fn stored(
    storage: &Storage,
    parent: &str,
    name: &str,
    author: Option<&Author>,
    permit: &Permit,
) -> Result<Option<Part>, Error> {
    let destination = destination(parent, name, author);
    destination.check_path()?;
    if storage.published(&destination, Some(Path::new(LIST))).await?.is_none() {
        return Ok(None);
    }
    let path = format!("{}/{LIST}", destination.path);
    let list = storage.read_small(&path, permit).await?;
    Ok(list.and_then(|list| list::read(&list)))
}

/// Brings the files of a part into the folder `into`, and proves each to be the one that was stored.
///
/// # Errors
/// When one is missing, another, or cannot be read or written.
pub(crate) async fn fetch(
    storage: &Storage,
    parent: &str,
    name: &str,
    part: &Part,
    into: &Path,
    permit: &Permit,
) -> Result<(), Error> {
    tokio::fs::create_dir_all(into).await.map_err(Error::io("create", into))?;
    let fetch = |file: &StoredFile| {
        let path = format!("{}/{}", folder(parent, name), file.path);
        let (sum, is_plain) = (list::sum(file), list::is_plain(&file.path));
        let into = into.join(&file.path);
        async move {
            let damaged = |problem: &str| Error::Damaged { path: path.clone(), problem: problem.to_owned() };
            let sum = sum.filter(|_| is_plain).ok_or_else(|| damaged("has no name or no SHA-256"))?;
            storage.fetch(&path, &sum, &into, permit).await
        }
    };
    let fetches: Vec<_> = part.files.iter().map(fetch).collect();
    stream::iter(fetches).buffer_unordered(FILES_AT_ONCE).try_collect::<()>().await
}

/// Removes all parts of a job. There may be none.
///
/// # Errors
/// When some may be left.
pub(crate) async fn remove(storage: &Storage, parent: &str, permit: &Permit) -> Result<(), Error> {
    storage.remove(&format!("{PREFIX}/{parent}"), permit).await
}

/// Marks the storage as that of a job's planner. Only a worker that sees the marker shares the storage with it. The inner
/// error is why the storage cannot hold parts.
///
/// # Errors
/// When the marker cannot be written now.
pub(crate) async fn mark(storage: &Storage, parent: &str, permit: &Permit) -> Result<Result<(), String>, Error> {
    storage.mark(&folder(parent, SHARED), permit).await
}

/// Whether this worker has the same storage as the job's planner.
///
/// # Errors
/// When that cannot be found out.
pub(crate) async fn is_shared(storage: &Storage, parent: &str) -> Result<bool, Error> {
    storage.is_marked(&folder(parent, SHARED)).await
}

/// Whether this worker may have the same storage as the job's planner. Whoever offers a task waits for the answer, and
/// offers no other meanwhile: what cannot be found out at once shows when the parts are used.
pub(crate) async fn may_be_shared(storage: &Storage, parent: &str) -> bool {
    let asked = timeout(LOOK, is_shared(storage, parent)).await;
    !matches!(asked, Ok(Ok(false)))
}

fn folder(parent: &str, name: &str) -> String {
    format!("{PREFIX}/{parent}/{name}")
}

fn destination(parent: &str, name: &str, author: Option<&Author>) -> Destination {
    Destination { path: folder(parent, name), metadata: [].into(), content: Content::Inner, author: author.cloned() }
}

/// Puts the files of a part into one folder, with their list.
fn gather(root: &Path, files: Vec<(String, PathBuf)>, permit: &Permit) -> Result<Part, Error> {
    std::fs::create_dir_all(root).map_err(Error::io("create", root))?;
    let mut part = Part::default();
    for (name, path) in files {
        if !list::is_plain(&name) || name == LIST {
            return Err(Error::Damaged { path: name, problem: "cannot be the name of a part's file".to_owned() });
        }
        let Sum { size, sha256 } = sum(&path, permit)?;
        let place = root.join(&name);
        // In the same work folder, and so on the same file system.
        std::fs::rename(&path, &place).map_err(Error::io("move", &path))?;
        part.files.push(StoredFile { path: name, size, sha256: sha256.to_vec() });
    }
    part.files.sort_by(|one, other| one.path.cmp(&other.path));
    let list = root.join(LIST);
    std::fs::write(&list, list::write(&part)).map_err(Error::io("write", &list))?;
    Ok(part)
}

/// Length and SHA-256 of a file. Blocks.
///
/// # Errors
/// When it cannot be read, or `permit` is over.
pub(crate) fn sum(path: &Path, permit: &Permit) -> Result<Sum, Error> {
    use std::io::Read as _;

    let mut file = std::fs::File::open(path).map_err(Error::io("read", path))?;
    let (mut summing, mut buffer) = (Summing::default(), vec![0; 256 * 1024]);
    loop {
        if permit.is_over() {
            return Err(Error::Cancelled);
        }
        match file.read(&mut buffer).map_err(Error::io("read", path))? {
            0 => return Ok(summing.finish()),
            count => summing.add(&buffer[..count]),
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Crashed)?
}

#[cfg(test)]
mod tests;
