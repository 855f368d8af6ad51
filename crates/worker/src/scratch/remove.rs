//! Removes a work folder whose lock the caller holds.

use std::{fs, io, path::Path};

use super::{KEEP_PREFIX, MARKER};

/// Removes a work folder, never through a symbolic link. The marker goes last, so that a folder whose removal was
/// interrupted is still known as dead. While something must be kept, the folder and its marker stay too.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    let mut keep = false;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(KEEP_PREFIX.as_bytes()) {
            keep = true;
        } else if name != MARKER {
            remove_entry(&entry)?;
        }
    }
    if keep {
        return Ok(());
    }
    match fs::remove_file(folder.join(MARKER)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    fs::remove_dir(folder)
}

fn remove_entry(entry: &fs::DirEntry) -> io::Result<()> {
    // The type is the entry's own, so a link counts as a file; `remove_dir_all` follows none either.
    if entry.file_type()?.is_dir() { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) }
}
