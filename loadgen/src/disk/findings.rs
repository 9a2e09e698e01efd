//! What is suspicious or dangerous about a disk beside its speed: syncs that cannot have reached
//! the medium, settings that lose what was synced, stalls.

use std::time::Duration;

use serde::Serialize;

use super::case::Pattern;
use super::measure::Measurement;
use super::results::Results;
use super::stalls::Stalls;
use crate::machine::device::{Device, Kind};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Gravity {
    /// Worth knowing.
    Note,
    /// To be looked into before the disk is trusted.
    Warning,
    /// What was acknowledged will be lost in a power cut: no log may be there.
    Unfit,
}

/// Something found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A name for programs.
    pub name: &'static str,
    /// How bad it is.
    pub gravity: Gravity,
    /// What, and on which numbers it rests.
    pub text: String,
}

/// No device with a wire in front of it answers a write and a flush sooner.
const WIRE: Duration = Duration::from_micros(8);
/// A SATA link with two commands on it takes longer than this.
const SATA_FLUSH: Duration = Duration::from_micros(40);
/// A platter of 15,000 turns a minute takes 4 ms for one; half of that is the mean wait.
const TURN: Duration = Duration::from_micros(1500);
/// A sync that does something takes more than this, compared with the write alone.
const SAME: f64 = 1.25;

/// Fewer operations have no 99th percentile.
const FEW: u64 = 100;

/// Looks for all of it.
#[must_use]
pub fn find(results: &Results, stalls: &Stalls) -> Vec<Finding> {
    let device = &results.device;
    let mut found = Vec::new();
    found.extend(no_medium(device));
    found.extend(too_fast(results));
    found.extend(no_difference(results));
    found.extend(mount(device));
    found.extend(throttled(results));
    found.extend(few(results));
    let complaint = results.attention().complaint();
    found.extend(complaint.map(|text| finding("busy-processors", Gravity::Warning, text)));
    if device.needs_flushes() {
        let text = "the write cache is on and a write cannot be forced through it (no FUA): each \
                    sync costs a write and a flush of the whole cache, and everything rests on the \
                    flush being honest";
        found.push(finding("cache-without-fua", Gravity::Note, text.to_owned()));
    }
    found.extend(stalled(stalls));
    for failure in results
        .failures
        .iter()
        .filter(|failure| !failure.is_unsupported)
    {
        let text = format!("{} failed: {}", failure.case, failure.why);
        found.push(finding("failed", Gravity::Unfit, text));
    }
    found.extend(
        results
            .exhaustion
            .iter()
            .filter(|one| one.fell_at.is_some())
            .map(|one| finding("exhausted", Gravity::Warning, one.to_string())),
    );
    found.sort_by_key(|finding| std::cmp::Reverse(finding.gravity));
    found
}

fn finding(name: &'static str, gravity: Gravity, text: String) -> Finding {
    Finding {
        name,
        gravity,
        text,
    }
}

fn no_medium(device: &Device) -> Option<Finding> {
    let text = "the directory is in memory: nothing there survives a power cut";
    let is_memory = device.kind == Kind::Memory;
    is_memory.then(|| finding("in-memory", Gravity::Unfit, text.to_owned()))
}

/// The fastest of the medians of single durable writes.
fn fastest(results: &Results) -> Option<(&Measurement, Duration)> {
    let patterns = [
        Pattern::OverwriteFdatasync,
        Pattern::DirectDsync,
        Pattern::LinkedFsync,
    ];
    let measured = patterns
        .iter()
        .filter_map(|pattern| results.alone(*pattern));
    measured
        .map(|one| (one, one.quantile(0.5)))
        .min_by_key(|(_, median)| *median)
}

/// Syncs too fast for the kind of device.
fn too_fast(results: &Results) -> Option<Finding> {
    let device = &results.device;
    let (measured, median) = fastest(results)?;
    let (bound, gravity, why) = match device.kind {
        Kind::Memory => return None,
        // Memory that keeps its content has no wire.
        _ if device
            .name
            .as_ref()
            .is_some_and(|name| name.starts_with("pmem")) =>
        {
            return None;
        }
        // Behind a hypervisor `rotational` means nothing.
        Kind::Scsi if device.rotational == Some(true) => (
            TURN,
            Gravity::Warning,
            "a platter does not turn that fast: a cache answered",
        ),
        Kind::Scsi => (
            SATA_FLUSH,
            Gravity::Warning,
            "a flush over SATA takes longer",
        ),
        _ => (
            WIRE,
            Gravity::Unfit,
            "no device answers that fast: the sync reaches none",
        ),
    };
    (median < bound).then(|| {
        let text = format!(
            "half of all {} take no more than {:.1} us: {why}; what was synced may be lost in a \
             power cut. Try `stoa-loadgen disk power-cut`",
            measured.case.pattern.name(),
            median.as_secs_f64() * 1e6
        );
        finding("too-fast", gravity, text)
    })
}

/// Syncs that add nothing to a write.
fn no_difference(results: &Results) -> Option<Finding> {
    let median = |pattern| Some(results.alone(pattern)?.quantile(0.5).as_secs_f64() * 1e6);
    let synced = median(Pattern::OverwriteFdatasync)?;
    let unsynced = median(Pattern::BufferedUnsynced)?;
    if synced < unsynced * 2.0 {
        let text = format!(
            "an fdatasync adds nothing to a write to the page cache ({synced:.1} us with, \
             {unsynced:.1} us without): it does nothing (eatmydata, or a file system that ignores \
             it)"
        );
        return Some(finding("sync-does-nothing", Gravity::Unfit, text));
    }
    let (synced, unsynced) = (
        median(Pattern::DirectDsync)?,
        median(Pattern::SequentialWrite)?,
    );
    let has_cache = results.device.write_cache.as_deref() == Some("write back");
    if synced > unsynced * SAME || !has_cache {
        return None;
    }
    let text = format!(
        "a durable direct write takes {synced:.0} us and one that is not {unsynced:.0} us, though \
         the device says that its cache must be flushed: either the cache outlives a power cut (a \
         capacitor, a battery) or the flush is a lie. `stoa-loadgen disk power-cut` tells which"
    );
    Some(finding("sync-costs-nothing", Gravity::Warning, text))
}

fn throttled(results: &Results) -> Option<Finding> {
    let measured = results.alone(Pattern::DirectDsync)?;
    if !measured.durable().comes_in_bursts() {
        return None;
    }
    let text = format!(
        "half of all durable writes take no more than {:.0} us, and yet only {:.0} a second get \
         done: they are let through in bursts, as by a limit on operations (a cgroup, a cloud \
         volume) or a drive that tidies up",
        measured.quantile(0.5).as_secs_f64() * 1e6,
        measured.per_second()
    );
    Some(finding("bursts", Gravity::Warning, text))
}

/// Percentiles of a few operations are their slowest.
fn few(results: &Results) -> Option<Finding> {
    let patterns = [Pattern::Etcd, Pattern::Wal, Pattern::DirectDsync];
    let counts = patterns
        .iter()
        .filter_map(|pattern| results.alone(*pattern));
    let least = counts.map(|measured| measured.recorder.count).min()?;
    (least < FEW).then(|| {
        let text = format!(
            "only {least} operations were measured of a pattern that the verdict rests on, so that \
             p99 is about the slowest: give more time with --duration"
        );
        finding("few-operations", Gravity::Note, text)
    })
}

fn mount(device: &Device) -> Option<Finding> {
    let options = device.mount_options.as_deref()?;
    let dangerous = ["nobarrier", "barrier=0", "volatile", "fsync_mode=nobarrier"];
    let found = options
        .split(',')
        .find(|option| dangerous.contains(option))?;
    let text = format!("mounted with {found}: a sync does not flush the device's cache");
    Some(finding("no-barriers", Gravity::Unfit, text))
}

fn stalled(stalls: &Stalls) -> Option<Finding> {
    let counts = stalls.counts;
    if counts.over_10ms == 0 {
        return None;
    }
    let rhythm = stalls.every_seconds.map_or(String::new(), |seconds| {
        format!("; they come every {seconds:.1} s, as a housekeeping task or a throttle does")
    });
    let text = format!(
        "stalls of single writes: {} over 10 ms, {} over 100 ms, {} over 1 s{rhythm}",
        counts.over_10ms, counts.over_100ms, counts.over_1000ms
    );
    let gravity = match counts.over_100ms {
        0 => Gravity::Note,
        _ => Gravity::Warning,
    };
    Some(finding("stalls", gravity, text))
}

#[cfg(test)]
mod tests;
