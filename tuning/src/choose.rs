//! Which profile fits a disk, judged by what a durable write costs on it. Called with the result
//! of a probe; the reason goes into the log and the report.

/// A profile's name and why it was picked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Name of a built-in profile.
    pub name: &'static str,
    /// One line for the operator.
    pub reason: String,
}

/// What durable 4 KiB writes to written space took, one at a time, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durable {
    /// The median.
    pub p50_us: u64,
    /// The mean.
    pub mean_us: u64,
    /// The 99th percentile.
    pub p99_us: u64,
}

impl Durable {
    /// A mean this many times the median comes of writes that are let through in bursts.
    const BURSTS: u64 = 4;

    /// Whether most writes are quick and yet few get done: a limit on operations, as clouds and
    /// cgroups have, lets them through in bursts.
    #[must_use]
    pub fn comes_in_bursts(self) -> bool {
        self.mean_us > self.p50_us.saturating_mul(Self::BURSTS)
    }

    /// What a write costs one who makes many.
    fn cost_us(self) -> u64 {
        match self.comes_in_bursts() {
            true => self.mean_us,
            false => self.p50_us,
        }
    }
}

/// What the kernel says of a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Whether it turns (`queue/rotational`); none if unknown. Wrong on most virtual disks.
    pub rotational: Option<bool>,
    /// Whether it is reached through a hypervisor's driver.
    pub is_virtual: bool,
}

/// Faster than this nothing has been flushed: the drive's cache survives a power cut (or lies).
const PROTECTED_US: u64 = 80;
/// Up to here a local drive seen through a hypervisor, flushing nothing or little.
const VIRTUAL_US: u64 = 400;
/// Up to here a flush of an NVMe drive's cache or a round trip to a network volume.
const FLUSH_US: u64 = 2_500;
/// From here on a platter has to turn.
const TURN_US: u64 = 4_000;
/// A network volume answers evenly; a flush takes as long as the cache is full.
const STEADY_RATIO: u64 = 3;

/// Picks by what durable writes took, and by what the kernel says of the device. The latency
/// outweighs its word on whether the disk turns, which means nothing behind a hypervisor; a virtual
/// disk is never taken for the drive behind it, since all its syncs go through one host.
pub fn choose(durable: Durable, told: Told) -> Choice {
    let is_virtual = told.is_virtual;
    let rotational = told.rotational.filter(|_| !is_virtual);
    let (cost_us, p99_us) = (durable.cost_us(), durable.p99_us);
    let mut latency = format!("a durable write takes {cost_us} us (p99 {p99_us} us");
    if durable.comes_in_bursts() {
        latency += &format!(
            "; the mean, since half take {} us in bursts",
            durable.p50_us
        );
    }
    latency.push(')');
    let choice = |name, why: &str| Choice {
        name,
        reason: format!("{latency}: {why}"),
    };
    match cost_us {
        0..PROTECTED_US if rotational != Some(true) && !is_virtual => choice(
            "nvme-plp",
            "nothing is flushed, the drive's cache is protected",
        ),
        0..VIRTUAL_US => choice("virtio", "a local drive behind a hypervisor"),
        VIRTUAL_US..FLUSH_US if p99_us <= cost_us.saturating_mul(STEADY_RATIO) => choice(
            "cloud-volume",
            "slow but even, as a round trip to a network volume is",
        ),
        VIRTUAL_US..FLUSH_US if is_virtual => choice("virtio", "a busy drive behind a hypervisor"),
        VIRTUAL_US..FLUSH_US => choice("nvme-consumer", "each write flushes a volatile cache"),
        TURN_US.. if rotational != Some(false) => {
            choice("spinning", "as long as a platter takes to turn")
        }
        _ => choice("sata-ssd", "each write flushes a volatile cache, slowly"),
    }
}

#[cfg(test)]
mod tests;
