//! Names of lanes and segments. Called by everything in `wal` that touches a directory.

use crate::ids::LaneId;

/// The directory of a lane below that of the log.
pub(super) fn lane_dir(dir: &str, lane: LaneId) -> String {
    if dir.is_empty() {
        format!("lane-{:05}", lane.0)
    } else {
        format!("{dir}/lane-{:05}", lane.0)
    }
}

/// The lane that a name in the log's directory stands for.
pub(super) fn lane_of(name: &str) -> Option<LaneId> {
    name.strip_prefix("lane-")?.parse().ok().map(LaneId)
}

/// The path of segment `number`.
pub(super) fn segment(lane_dir: &str, number: u64) -> String {
    format!("{lane_dir}/{number:020}.seg")
}

/// The segment that a name in a lane's directory stands for.
pub(super) fn segment_of(name: &str) -> Option<u64> {
    name.strip_suffix(".seg")?.parse().ok()
}

/// The path of the file that becomes segment `number` when it is filled.
pub(super) fn filling(lane_dir: &str, number: u64) -> String {
    format!("{lane_dir}/new-{number:020}")
}

/// Whether a name in a lane's directory is of a file being filled.
pub(super) fn is_filling(name: &str) -> bool {
    name.starts_with("new-")
}

/// A directory and all above it, up to the disk's root.
pub(super) fn with_parents(dir: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(dir), |&dir: &&str| match dir.rsplit_once('/') {
        Some((parent, _)) => Some(parent),
        None if dir.is_empty() => None,
        None => Some(""),
    })
}
