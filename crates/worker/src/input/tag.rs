//! What tells versions of a source apart that have the same length.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use nix::fcntl::OFlag;
use ring::digest::{Context, Digest, SHA256};

/// Places of a file that are looked at, evenly spaced, the beginning and the end among them. Two encodes of the same length
/// differ in their headers, their indexes or their pictures.
const PLACES: u64 = 16;

/// Bytes at each place.
const SAMPLE: usize = 16 * 1024;

/// Of a file, by its content: copies of it on several workers have other times.
///
/// # Errors
/// When it cannot be read.
pub(super) async fn of_file(path: PathBuf) -> io::Result<u64> {
    tokio::task::spawn_blocking(move || samples(&path)).await?
}

/// Of a text that is another for each version.
pub(super) fn of_text(text: &str) -> u64 {
    let mut sum = Context::new(&SHA256);
    sum.update(text.as_bytes());
    short(&sum.finish())
}

fn samples(path: &Path) -> io::Result<u64> {
    // It was a file a moment ago. A pipe in its place would be waited for.
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no file any more"));
    }
    let last = metadata.len().saturating_sub(SAMPLE as u64);
    let (step, rest) = (last / (PLACES - 1), last % (PLACES - 1));
    let (mut sum, mut sample) = (Context::new(&SHA256), vec![0; SAMPLE]);
    for place in 0..PLACES {
        let length = read(&file, &mut sample, step * place + rest * place / (PLACES - 1))?;
        sum.update(&sample[..length]);
    }
    Ok(short(&sum.finish()))
}

/// Fills the buffer as far as the file goes.
fn read(file: &File, buffer: &mut [u8], from: u64) -> io::Result<usize> {
    let mut length = 0;
    loop {
        match file.read_at(&mut buffer[length..], from + length as u64) {
            Ok(0) => return Ok(length),
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn short(digest: &Digest) -> u64 {
    digest.as_ref().first_chunk().copied().map_or(0, u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const LENGTH: usize = 1_000_000;

    async fn tag(bytes: &[u8]) -> u64 {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("source");
        std::fs::write(&path, bytes).expect("writes");
        of_file(path).await.expect("reads")
    }

    #[rstest]
    #[case::begins(0)]
    #[case::middle(LENGTH / 2)]
    #[case::ends(LENGTH - 1)]
    #[tokio::test]
    async fn another_version_has_another_tag(#[case] at: usize) {
        let (one, mut other) = (vec![7; LENGTH], vec![7; LENGTH]);
        assert_eq!(tag(&one).await, tag(&other).await, "copies have the same");
        // The samples are some 50 kB apart.
        let from = at.saturating_sub(60_000);
        other[from..=at].fill(8);
        assert_ne!(tag(&one).await, tag(&other).await);
    }

    #[tokio::test]
    async fn a_pipe_is_not_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        assert!(of_file(path).await.is_err());
    }

    #[rstest]
    #[case::empty(0)]
    #[case::shorter_than_a_sample(100)]
    #[tokio::test]
    async fn a_short_file_has_one_too(#[case] length: usize) {
        assert_ne!(tag(&vec![7; length]).await, tag(&vec![8; length + 1]).await);
    }
}
