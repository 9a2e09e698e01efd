//! The block device and the file system behind a directory, as `/sys` and `/proc/self/mountinfo`
//! tell it, and what they do not tell. Read by `disk`; everything here is the kernel's word, which
//! is often wrong for virtual disks.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// How a device is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// NVMe.
    Nvme,
    /// SATA or SAS, through the SCSI layer.
    Scsi,
    /// A hypervisor's paravirtual disk.
    Virtio,
    /// Xen's.
    Xen,
    /// Hyper-V's, VMware's or QEMU's disk behind the SCSI layer.
    VirtualScsi,
    /// An SD card or eMMC.
    Mmc,
    /// A file played as a device.
    Loop,
    /// Memory: tmpfs, ramfs, zram, brd.
    Memory,
    /// A file system on another host.
    Network,
    /// Something else.
    Other,
}

/// What is behind a directory. `None`: it could not be found out, and `unknown` says so.
#[derive(Clone, Debug, Serialize)]
pub struct Device {
    /// The file system's type, such as `ext4`.
    pub file_system: Option<String>,
    /// What is mounted, such as `/dev/sda1`.
    pub source: Option<String>,
    /// Options of the mount and of the file system.
    pub mount_options: Option<String>,
    /// The kernel's name of the device, such as `nvme0n1`.
    pub name: Option<String>,
    /// Devices below it, if it is made of others.
    pub made_of: Vec<String>,
    /// How it is attached.
    pub kind: Kind,
    /// The cloud whose volume it is, judged by its model.
    pub cloud: Option<&'static str>,
    /// The model it reports.
    pub model: Option<String>,
    /// Whether the kernel takes it for one that turns.
    pub rotational: Option<bool>,
    /// `write back` (a flush is needed) or `write through`.
    pub write_cache: Option<String>,
    /// Whether a single write can be forced through the cache.
    pub fua: Option<bool>,
    /// The scheduler in use.
    pub scheduler: Option<String>,
    /// Smallest unit of a write, bytes.
    pub logical_block_bytes: Option<u64>,
    /// Smallest unit that the device writes without reading first, bytes.
    pub physical_block_bytes: Option<u64>,
    /// Requests that the kernel queues.
    pub queue_requests: Option<u64>,
    /// Its size, bytes.
    pub size_bytes: Option<u64>,
    /// What could not be found out, a line each.
    pub unknown: Vec<String>,
}

/// A line of `mountinfo`.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    device: (u32, u32),
    point: PathBuf,
    options: String,
    file_system: String,
    source: String,
}

impl Kind {
    /// Whether a hypervisor stands between it and the medium, so that the kernel's facts are those
    /// that the host made up.
    #[must_use]
    pub fn is_virtual(self) -> bool {
        matches!(self, Kind::Virtio | Kind::Xen | Kind::VirtualScsi)
    }
}

impl Device {
    /// What is behind `dir`.
    ///
    /// # Errors
    /// When `dir` cannot be read.
    pub fn behind(dir: &Path) -> io::Result<Device> {
        let dir = fs::canonicalize(dir)?;
        let device = fs::metadata(&dir)?.dev();
        let number = (rustix::fs::major(device), rustix::fs::minor(device));
        Ok(Device::look(Path::new("/"), &dir, number))
    }

    /// As [`Device::behind`] with `/proc` and `/sys` below `root`.
    fn look(root: &Path, dir: &Path, number: (u32, u32)) -> Device {
        let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).unwrap_or_default();
        let mount = mount_of(&mounts, dir, number);
        let mut device = Device::nothing(mount.as_ref());
        let Some(place) = place_of(root, number, mount.as_ref()) else {
            device.without_device();
            return device;
        };
        device.read(root, &place);
        device
    }

    fn nothing(mount: Option<&Mount>) -> Device {
        Device {
            file_system: mount.map(|mount| mount.file_system.clone()),
            source: mount.map(|mount| mount.source.clone()),
            mount_options: mount.map(|mount| mount.options.clone()),
            name: None,
            made_of: Vec::new(),
            kind: Kind::Other,
            cloud: None,
            model: None,
            rotational: None,
            write_cache: None,
            fua: None,
            scheduler: None,
            logical_block_bytes: None,
            physical_block_bytes: None,
            queue_requests: None,
            size_bytes: None,
            unknown: Vec::new(),
        }
    }

    fn without_device(&mut self) {
        let file_system = self.file_system.as_deref().unwrap_or("unknown");
        self.kind = match file_system {
            "tmpfs" | "ramfs" | "devtmpfs" => Kind::Memory,
            "nfs" | "nfs4" | "cifs" | "smb3" | "9p" | "ceph" | "fuse.glusterfs" => Kind::Network,
            _ => Kind::Other,
        };
        self.unknown.push(match self.kind {
            Kind::Memory => format!("{file_system} is kept in memory: there is no device"),
            Kind::Network => format!("{file_system} is on another host: its disk is not seen"),
            _ => format!("the device behind {file_system}: /sys names none"),
        });
    }

    fn read(&mut self, root: &Path, place: &Path) {
        let word = |path: &str| {
            let text = fs::read_to_string(place.join(path)).ok()?;
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        let number = |path: &str| word(path)?.parse::<u64>().ok();
        let flag = |path: &str| number(path).map(|value| value != 0);
        let name = place
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        self.made_of = names_in(&place.join("slaves"));
        // What a device is made of says how it is attached; its own queue says how it writes.
        let lowest = self
            .made_of
            .first()
            .and_then(|first| whole_disk(root, &root.join("sys/class/block").join(first)))
            .unwrap_or_else(|| place.to_path_buf());
        let of_lowest = |path: &str| fs::read_to_string(lowest.join(path)).ok();
        let trimmed = |text: String| text.trim().to_owned();
        self.model = of_lowest("device/model")
            .map(trimmed)
            .filter(|model| !model.is_empty());
        let vendor = of_lowest("device/vendor").map(trimmed).unwrap_or_default();
        self.kind = kind_of(&lowest, &vendor, self.model.as_deref().unwrap_or_default());
        self.cloud = cloud_of(&vendor, self.model.as_deref().unwrap_or_default());
        self.name = name;
        self.rotational = flag("queue/rotational");
        self.write_cache = word("queue/write_cache");
        self.fua = flag("queue/fua");
        self.scheduler = word("queue/scheduler").map(|text| chosen(&text));
        self.logical_block_bytes = number("queue/logical_block_size");
        self.physical_block_bytes = number("queue/physical_block_size");
        self.queue_requests = number("queue/nr_requests");
        self.size_bytes = number("size").and_then(|sectors| sectors.checked_mul(512));
        self.say_unknown();
    }

    fn say_unknown(&mut self) {
        let missing = [
            (self.rotational.is_none(), "whether it turns"),
            (self.write_cache.is_none(), "whether its write cache is on"),
            (
                self.fua.is_none(),
                "whether a write can be forced through its cache (FUA)",
            ),
            (self.scheduler.is_none(), "its scheduler"),
            (self.logical_block_bytes.is_none(), "its sector size"),
            (self.model.is_none(), "its model"),
            (self.mount_options.is_none(), "the mount and its options"),
        ];
        let missing = missing.iter().filter(|(is_missing, _)| *is_missing);
        self.unknown
            .extend(missing.map(|(_, what)| (*what).to_owned()));
        if self.kind.is_virtual() {
            let what =
                "the medium below the hypervisor; what the kernel says of it is the host's word";
            self.unknown.push(what.to_owned());
        }
        self.unknown
            .push("whether its cache survives a power cut (`disk power-cut` tests it)".into());
    }

    /// Whether the write cache is on and there is no way to force one write through it.
    #[must_use]
    pub fn needs_flushes(&self) -> bool {
        self.write_cache.as_deref() == Some("write back") && self.fua == Some(false)
    }

    /// One line for people.
    #[must_use]
    pub fn summary(&self) -> String {
        let kind = match self.kind {
            Kind::Nvme => "NVMe",
            Kind::Scsi => "SATA or SAS",
            Kind::Virtio => "virtio",
            Kind::Xen => "Xen",
            Kind::VirtualScsi => "virtual SCSI",
            Kind::Mmc => "SD card or eMMC",
            Kind::Loop => "loop device",
            Kind::Memory => "memory",
            Kind::Network => "network file system",
            Kind::Other => "unknown attachment",
        };
        let mut parts = vec![kind.to_owned()];
        parts.extend(self.name.clone());
        parts.extend(self.model.clone());
        parts.extend(self.cloud.map(str::to_owned));
        parts.extend(self.file_system.as_ref().map(|fs| format!("with {fs}")));
        parts.join(", ")
    }
}

/// The mount that `dir` is on: that with its device number whose point is the longest above it,
/// else any with the longest (btrfs and overlays have numbers of their own).
fn mount_of(mounts: &str, dir: &Path, number: (u32, u32)) -> Option<Mount> {
    let above: Vec<Mount> = mounts
        .lines()
        .filter_map(parse_mount)
        .filter(|mount| dir.starts_with(&mount.point))
        .collect();
    // The last of equals: a later mount hides an earlier one.
    let same = |mount: &Mount| mount.device == number;
    let depth = |mount: &Mount| mount.point.components().count();
    above
        .into_iter()
        .max_by_key(|mount| (same(mount), depth(mount)))
}

fn parse_mount(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let left: Vec<&str> = left.split(' ').collect();
    let right: Vec<&str> = right.split(' ').collect();
    let (major, minor) = left.get(2)?.split_once(':')?;
    Some(Mount {
        device: (major.parse().ok()?, minor.parse().ok()?),
        point: PathBuf::from(unescaped(left.get(4)?)),
        options: format!("{},{}", left.get(5)?, right.get(2)?),
        file_system: (*right.first()?).to_owned(),
        source: unescaped(right.get(1)?),
    })
}

/// `mountinfo` writes blanks and the like as three octal digits.
fn unescaped(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digits = tail
            .get(..3)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if *first == b'\\' => {
                out.push(byte);
                rest = &tail[3..];
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The directory of the whole disk in `/sys`.
fn place_of(root: &Path, number: (u32, u32), mount: Option<&Mount>) -> Option<PathBuf> {
    let (major, minor) = number;
    let by_number = root.join(format!("sys/dev/block/{major}:{minor}"));
    if by_number.exists() {
        return whole_disk(root, &by_number);
    }
    let source = Path::new(&mount?.source).strip_prefix("/dev").ok()?;
    let real = fs::canonicalize(root.join("dev").join(source)).ok()?;
    whole_disk(root, &root.join("sys/class/block").join(real.file_name()?))
}

/// A partition's queue is that of its disk, one directory up.
fn whole_disk(root: &Path, place: &Path) -> Option<PathBuf> {
    let real = fs::canonicalize(place).ok()?;
    let is_part = real.join("partition").exists();
    let disk = if is_part { real.parent()? } else { &real };
    disk.starts_with(fs::canonicalize(root).ok()?)
        .then(|| disk.to_path_buf())
}

fn names_in(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    names
}

fn kind_of(place: &Path, vendor: &str, model: &str) -> Kind {
    let part_starts = |with: &str| {
        let mut parts = place.components();
        parts.any(|part| part.as_os_str().to_string_lossy().starts_with(with))
    };
    let name = place
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let is_made_up = ["QEMU", "Msft", "VMware", "Google", "VBOX"]
        .iter()
        .any(|maker| vendor.starts_with(maker) || model.starts_with(maker));
    match name.as_str() {
        name if name.starts_with("nvme") => Kind::Nvme,
        name if name.starts_with("xvd") => Kind::Xen,
        name if name.starts_with("mmcblk") => Kind::Mmc,
        name if name.starts_with("loop") => Kind::Loop,
        name if name.starts_with("zram") || name.starts_with("ram") => Kind::Memory,
        _ if part_starts("virtio") => Kind::Virtio,
        name if name.starts_with("sd") && is_made_up => Kind::VirtualScsi,
        name if name.starts_with("sd") => Kind::Scsi,
        _ => Kind::Other,
    }
}

/// Models by which clouds name their volumes.
fn cloud_of(vendor: &str, model: &str) -> Option<&'static str> {
    let known = [
        ("Amazon Elastic Block Store", "an Amazon EBS volume"),
        (
            "Amazon EC2 NVMe Instance Storage",
            "an Amazon instance store",
        ),
        ("nvme_card-pd", "a Google persistent disk"),
        ("PersistentDisk", "a Google persistent disk"),
        ("nvme_card", "a Google local SSD"),
        ("MSFT NVMe Accelerator", "an Azure managed disk"),
        ("Microsoft NVMe Direct Disk", "an Azure local disk"),
    ];
    let found = known.iter().find(|(start, _)| model.starts_with(start));
    match found {
        Some((_, cloud)) => Some(cloud),
        None if vendor == "Msft" => Some("a Hyper-V or Azure disk"),
        None => None,
    }
}

/// The one in brackets, or the only one.
fn chosen(schedulers: &str) -> String {
    let inside = schedulers
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'));
    inside.map_or(schedulers, |(name, _)| name).to_owned()
}

#[cfg(test)]
mod tests;
