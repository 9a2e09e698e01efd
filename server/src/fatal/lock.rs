//! The data directory: made if it is not there, and held by one process at a time. Called by the
//! boot before anything else touches the disk.

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::Exit;

/// The file that is locked. Its content is the holder's process id, for messages only; the lock
/// itself belongs to the kernel and ends with the process, however it ends.
pub const LOCK_FILE: &str = "LOCK";

/// Holds the data directory until it is dropped or the process ends.
#[derive(Debug)]
pub struct DataDirLock {
    _file: std::fs::File,
}

/// Makes `dir` (for this user alone, as etcd does) if need be, and takes it.
///
/// # Errors
/// [`Exit::DataDirInUse`] with the holder; [`Exit::NewerFormat`] if it is etcd's own data;
/// [`Exit::DataDirUnusable`] or [`Exit::NoSpace`] if it cannot be made or written.
pub fn take(dir: &Path) -> Result<DataDirLock, Exit> {
    let unusable = |error: std::io::Error| match Exit::of_io(&dir.display().to_string(), &error) {
        no_space @ Exit::NoSpace(_) => no_space,
        _ => Exit::DataDirUnusable {
            dir: dir.to_owned(),
            why: error.to_string(),
        },
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(unusable)?;
    let etcd_database = dir.join("member/snap/db");
    if etcd_database.exists() {
        return Err(Exit::NewerFormat {
            file: etcd_database.display().to_string(),
            what: "this is the data of etcd itself, which is not read here".to_owned(),
        });
    }
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
    let descriptor = open(dir.join(LOCK_FILE), flags, Mode::RUSR | Mode::WUSR)
        .map_err(|error| unusable(error.into()))?;
    let mut file = std::fs::File::from(descriptor);
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            return Err(Exit::DataDirInUse {
                dir: dir.to_owned(),
                holder: holder(&mut file),
            });
        }
        Err(error) => return Err(unusable(error.into())),
    }
    let record = |file: &mut std::fs::File| {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    record(&mut file).map_err(unusable)?;
    Ok(DataDirLock { _file: file })
}

/// Who holds the lock, by what it wrote there.
fn holder(file: &mut std::fs::File) -> String {
    let mut text = String::new();
    let read = Read::take(file, 32).read_to_string(&mut text);
    match (read, text.trim().parse::<u32>()) {
        (Ok(_), Ok(pid)) => format!("process {pid}"),
        _ => "another process".to_owned(),
    }
}
