//! Where lanes ended when a checkpoint was made, held against where they end now: a lane's last
//! segment may be lost without a trace in the log itself. The shards note it, boot checks it.
//!
//! What was durable when the checkpoint was made stays the least a lane may end with: an opening
//! goes on after the last frame it finds, the segment that frames go to is never released, and a
//! lane is removed only when a checkpoint is in force that does not name it.

use super::{Lane, LaneImage, WalError, names};
use crate::env::Disk;
use crate::format::checkpoint::LogEnd;
use crate::format::segment::HEADER_BYTES;
use crate::ids::LaneId;

impl<D: Disk> Lane<D> {
    /// Where the lane's durable part ends now.
    pub fn end(&self) -> LogEnd {
        let state = self.0.state.borrow();
        let holds = |first_lsn: u64| first_lsn <= state.durable;
        let mut segments = state.segments.iter().rev();
        let last = segments.find(|segment| holds(segment.first_lsn));
        let segment = last.or(state.segments.back());
        LogEnd {
            lane: state.lane.0,
            segment: segment.map_or(0, |segment| segment.number),
            lsn: state.durable,
        }
    }
}

/// Checks that no lane below `dir` ends before what was durable when `ends` were noted.
///
/// # Errors
/// `EndsEarly`, with the segment that the missing frame was in.
pub fn check_ends(dir: &str, images: &[LaneImage], ends: &[LogEnd]) -> Result<(), WalError> {
    for end in ends {
        let tail = images
            .iter()
            .map(|image| &image.tail)
            .find(|tail| tail.lane.0 == end.lane);
        let found = tail.map_or(0, |tail| tail.last_lsn.0);
        if found >= end.lsn {
            continue;
        }
        let segments = tail.map_or(&[][..], |tail| &tail.segments);
        let cut = segments.iter().find(|known| known.number == end.segment);
        let lane_dir = names::lane_dir(dir, LaneId(end.lane));
        return Err(WalError::EndsEarly {
            file: names::segment(&lane_dir, end.segment).into(),
            offset: cut.map_or(0, |segment| HEADER_BYTES as u64 + segment.used),
            found,
            known: end.lsn,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
