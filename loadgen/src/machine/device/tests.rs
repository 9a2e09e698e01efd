//! Made-up `/sys` trees, and what is read from them.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use super::*;

const VIRTIO: &str = "sys/devices/pci0000:00/virtio1/block/vda";

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A disk in `place`, with `number`, as the kernel lays it out.
fn disk(root: &Path, place: &str, number: &str, queue: &[(&str, &str)]) {
    for (name, value) in queue {
        put(root, &format!("{place}/queue/{name}"), value);
    }
    fs::create_dir_all(root.join("sys/dev/block")).unwrap();
    fs::create_dir_all(root.join("sys/class/block")).unwrap();
    let target = root.join(place);
    std::os::unix::fs::symlink(&target, root.join("sys/dev/block").join(number)).unwrap();
    let class = root
        .join("sys/class/block")
        .join(target.file_name().unwrap());
    std::os::unix::fs::symlink(&target, class).unwrap();
}

#[test]
fn a_partition_has_the_facts_of_its_disk_and_the_options_of_the_deepest_mount() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let queue = [
        ("rotational", "1\n"),
        ("write_cache", "write back\n"),
        ("fua", "0\n"),
        ("scheduler", "none [mq-deadline] kyber\n"),
        ("logical_block_size", "512\n"),
    ];
    disk(root, VIRTIO, "254:0", &queue);
    put(root, &format!("{VIRTIO}/vda1/partition"), "1\n");
    let part = root.join(VIRTIO).join("vda1");
    std::os::unix::fs::symlink(part, root.join("sys/dev/block/254:1")).unwrap();
    let mounts = "27 1 254:0 / / rw - ext4 /dev/vda rw\n\
        30 27 254:1 / /var/lib/my\\040etcd rw,noatime shared:1 - xfs /dev/vda1 rw,nobarrier\n";
    put(root, "proc/self/mountinfo", mounts);
    let device = Device::look(root, Path::new("/var/lib/my etcd/data"), (254, 1));
    assert_eq!(device.name.as_deref(), Some("vda"));
    assert_eq!(device.kind, Kind::Virtio);
    assert_eq!(device.file_system.as_deref(), Some("xfs"));
    assert_eq!(
        device.mount_options.as_deref(),
        Some("rw,noatime,rw,nobarrier")
    );
    assert_eq!(device.rotational, Some(true));
    assert_eq!(device.scheduler.as_deref(), Some("mq-deadline"));
    assert!(device.needs_flushes());
    let unknown = device.unknown.join("; ");
    assert!(unknown.contains("its model"), "{unknown}");
    assert!(unknown.contains("below the hypervisor"), "{unknown}");
    assert!(!unknown.contains("scheduler"), "{unknown}");
}

#[test]
fn a_mapped_device_is_attached_as_what_it_is_made_of() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let nvme = "sys/devices/pci0000:00/nvme/nvme0/nvme0n1";
    disk(root, nvme, "259:0", &[]);
    put(
        root,
        &format!("{nvme}/device/model"),
        "Amazon Elastic Block Store   \n",
    );
    let mapped = "sys/devices/virtual/block/dm-0";
    disk(
        root,
        mapped,
        "253:0",
        &[("fua", "1\n"), ("write_cache", "write through\n")],
    );
    put(root, &format!("{mapped}/slaves/nvme0n1"), "");
    put(
        root,
        "proc/self/mountinfo",
        "30 27 253:0 / /d rw - ext4 /dev/mapper/a rw\n",
    );
    let device = Device::look(root, Path::new("/d"), (253, 0));
    assert_eq!(device.kind, Kind::Nvme);
    assert_eq!(device.cloud, Some("an Amazon EBS volume"));
    assert_eq!((device.fua, device.needs_flushes()), (Some(true), false));
    assert_eq!(device.made_of, ["nvme0n1"]);
}

#[test]
fn a_file_system_in_memory_is_called_so() {
    let root = tempfile::tempdir().unwrap();
    put(
        root.path(),
        "proc/self/mountinfo",
        "25 24 0:23 / /dev/shm rw - tmpfs tmpfs rw\n",
    );
    let device = Device::look(root.path(), Path::new("/dev/shm/x"), (0, 23));
    assert_eq!(device.kind, Kind::Memory);
    assert!(
        device.unknown[0].contains("there is no device"),
        "{:?}",
        device.unknown
    );
}
