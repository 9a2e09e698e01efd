//! A slow disk for one command: the kernel lets only so many of its writes a second through to the
//! device below a directory. Root alone may ask for it. Used by cases and benches that want to
//! know how a program takes a slow disk.
//!
//! With cgroups of version 1 that is `blkio.throttle.write_iops_device`, with version 2 `io.max`.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long its processes may take to leave before the group stays behind.
const LEAVE_LIMIT: Duration = Duration::from_secs(5);

/// A group whose processes write slowly. Dropping it removes it.
#[derive(Debug)]
pub struct Throttle {
    group: PathBuf,
    /// The disk, as `major:minor`.
    device: String,
    /// The controller's version.
    version: u8,
    /// Where a controller was mounted for it.
    mounted: Option<PathBuf>,
}

impl Throttle {
    /// At most `writes` a second to the device below `dir`.
    ///
    /// # Errors
    /// Why there can be none here, on one line.
    pub fn new(dir: &Path, writes: u32) -> Result<Throttle, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("throttling a disk needs root".to_owned());
        }
        let device =
            device(dir).map_err(|e| format!("no block device behind {}: {e}", dir.display()))?;
        let failed = |e: io::Error| format!("throttling {device}: {e}");
        let (root, version, mounted) = controller().map_err(failed)?;
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let group = root.join(format!("stoa-throttle-{}-{number}", std::process::id()));
        fs::create_dir(&group).map_err(failed)?;
        let throttle = Throttle {
            group,
            device: device.clone(),
            version,
            mounted,
        };
        let (file, limit) = match version {
            1 => (
                "blkio.throttle.write_iops_device",
                format!("{device} {writes}"),
            ),
            _ => ("io.max", format!("{device} wiops={writes}")),
        };
        fs::write(throttle.group.join(file), limit).map_err(failed)?;
        Ok(throttle)
    }

    /// Writes to the disk that its processes have asked for since it is there.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn writes(&self) -> io::Result<u64> {
        let (file, name) = match self.version {
            1 => ("blkio.throttle.io_serviced", "Write "),
            _ => ("io.stat", "wios="),
        };
        let text = fs::read_to_string(self.group.join(file))?;
        // A disk that nothing was asked of has no line.
        let mut told = text
            .lines()
            .filter_map(|line| line.strip_prefix(&self.device));
        let number = told.find_map(|rest| {
            let (_, number) = rest.split_once(name)?;
            number.split_whitespace().next()?.parse().ok()
        });
        Ok(number.unwrap_or(0))
    }

    /// `program` as a command that runs below the throttle.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("sh");
        // The shell joins the group and becomes the program.
        command.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]);
        command.arg(self.group.join("cgroup.procs")).arg(program);
        command
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        let begin = Instant::now();
        while fs::remove_dir(&self.group).is_err() && begin.elapsed() < LEAVE_LIMIT {
            std::thread::yield_now();
        }
        if let Some(place) = &self.mounted {
            // Left mounted it would only be in the way of nobody.
            let _ = Command::new("umount").arg(place).status();
            let _ = fs::remove_dir(place);
        }
    }
}

/// Number of the whole disk behind `dir`, as `major:minor`.
fn device(dir: &Path) -> io::Result<String> {
    let number = fs::metadata(dir)?.dev();
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    let place = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}"))?;
    let disk = match place.join("partition").exists() {
        true => place.join("../dev"),
        false => place.join("dev"),
    };
    Ok(fs::read_to_string(disk)?.trim().to_owned())
}

/// The root of the controller, its version, and where it was mounted now.
fn controller() -> io::Result<(PathBuf, u8, Option<PathBuf>)> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let mounted = |kind: &str, option: &str| {
        let line = mounts.lines().find(|line| {
            let (_, right) = line.split_once(" - ").unwrap_or_default();
            let mut words = right.split(' ');
            let options = || right.rsplit(' ').next().unwrap_or_default().split(',');
            words.next() == Some(kind) && (option.is_empty() || options().any(|o| o == option))
        })?;
        line.split(' ').nth(4).map(PathBuf::from)
    };
    if let Some(root) = mounted("cgroup", "blkio") {
        return Ok((root, 1, None));
    }
    let unified = mounted("cgroup2", "");
    let has_io = |root: &PathBuf| {
        let names = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        names.split_whitespace().any(|name| name == "io")
    };
    if let Some(root) = unified.filter(has_io) {
        fs::write(root.join("cgroup.subtree_control"), "+io")?;
        return Ok((root, 2, None));
    }
    let place = std::env::temp_dir().join(format!("stoa-blkio-{}", std::process::id()));
    fs::create_dir_all(&place)?;
    let mount = Command::new("mount")
        .args(["-t", "cgroup", "-o", "blkio", "none"])
        .arg(&place)
        .output()?;
    if !mount.status.success() {
        fs::remove_dir(&place)?;
        let said = String::from_utf8_lossy(&mount.stderr).trim().to_owned();
        return Err(io::Error::other(format!(
            "the kernel has no blkio controller: {said}"
        )));
    }
    Ok((place.clone(), 1, Some(place)))
}
