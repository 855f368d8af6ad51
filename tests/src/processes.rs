//! Which processes belong to a test, as the kernel tells it.

use std::{ffi::OsStr, fs, path::Path};

/// A process that belongs to a test.
#[derive(Debug, Clone)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// File name of its program.
    pub program: String,
    /// Its arguments, the program first.
    pub args: Vec<String>,
}

/// The living processes whose working folder, arguments or environment name `folder`.
#[must_use]
pub fn of(folder: &Path) -> Vec<Process> {
    let entries = fs::read_dir("/proc").expect("Linux has /proc").filter_map(Result::ok);
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| read(pid, folder)).collect()
}

/// `None` for a process that has ended meanwhile, or is another's. A zombie shows neither folder nor arguments.
fn read(pid: i32, folder: &Path) -> Option<Process> {
    let proc = Path::new("/proc").join(pid.to_string());
    let args = fs::read(proc.join("cmdline")).ok()?;
    let environment = fs::read(proc.join("environ")).unwrap_or_default();
    let inside = fs::read_link(proc.join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder));
    if !inside && !names(&args, folder) && !names(&environment, folder) {
        return None;
    }
    let exe = fs::read_link(proc.join("exe")).ok()?;
    let args = args.split(|byte| *byte == 0).map(|arg| String::from_utf8_lossy(arg).into_owned());
    // A binary that was rebuilt meanwhile shows as deleted.
    let program = exe.file_name().map(OsStr::to_string_lossy).unwrap_or_default();
    let program = program.trim_end_matches(" (deleted)").to_owned();
    Some(Process { pid, program, args: args.collect() })
}

fn names(bytes: &[u8], folder: &Path) -> bool {
    let folder = folder.as_os_str().as_encoded_bytes();
    bytes.windows(folder.len()).any(|window| window == folder)
}
