//! How much memory this process may use: the machine's, or what a control group leaves of it.

use std::fs;
use std::path::{Path, PathBuf};

/// Where control groups are mounted.
const GROUPS: &str = "/sys/fs/cgroup";

/// Bytes of memory that this process may use.
pub(super) fn usable() -> u64 {
    let info = rustix::system::sysinfo();
    let machine = info.totalram.saturating_mul(u64::from(info.mem_unit));
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    machine.min(limit(&groups, Path::new(GROUPS)))
}

/// The lowest limit of the control groups that `/proc/self/cgroup` lists and of those above them,
/// `u64::MAX` where there is none. In a container the listed path is often the host's and does not
/// exist: there the root that is mounted holds the container's limit.
fn limit(groups: &str, root: &Path) -> u64 {
    let lowest = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        // The unified hierarchy has no list of controllers.
        let (mount, file) = match controllers {
            "" => (root.to_path_buf(), "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => return None,
        };
        let group = mount.join(path.trim_start_matches('/'));
        let group: PathBuf = match group.join(file).exists() {
            true => group,
            false => mount.clone(),
        };
        let above = group.ancestors().take_while(|dir| dir.starts_with(&mount));
        above.filter_map(|dir| number(&dir.join(file))).min()
    });
    lowest.min().unwrap_or(u64::MAX)
}

/// The number in a file; none where it says `max` or is not there.
fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn made(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn the_lowest_limit_on_the_way_up_counts() {
        let root = made(&[
            ("system.slice/memory.max", "4000\n"),
            ("system.slice/stoa.service/memory.max", "max\n"),
            ("memory/a/memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory/memory.limit_in_bytes", "5000\n"),
        ]);
        let of = |groups: &str| limit(groups, root.path());
        assert_eq!(of("0::/system.slice/stoa.service\n"), 4000);
        assert_eq!(of("4:cpu:/x\n3:memory:/a\n"), 5000);
        assert_eq!(of("3:memory,cpu:/a\n0::/system.slice/stoa.service\n"), 4000);
        assert_eq!(of("0::/other.slice\n"), u64::MAX);
        assert_eq!(of("nonsense"), u64::MAX);
    }

    #[test]
    fn a_container_sees_its_limit_at_the_root() {
        let root = made(&[("memory.max", "3000\n")]);
        assert_eq!(limit("0::/docker/abc\n", root.path()), 3000);
    }

    #[test]
    fn a_machine_has_memory() {
        assert!(usable() > 1 << 20);
    }
}
