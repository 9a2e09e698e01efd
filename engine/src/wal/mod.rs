//! The write-ahead log: lanes of segment files, each an append-only sequence of frames with one
//! writer. `group` appends and reads back; the node recovers all lanes at start and releases
//! what a checkpoint covers.
//!
//! Segments are written in full once and then recycled by renaming, so a sync moves no metadata.
//! Below a lane's directory there are:
//!
//! | name | is |
//! |---|---|
//! | `<number>.seg` | a segment: begun, if its header names this number; else ready for use |
//! | `new-<number>` | a file being filled; worthless after a crash |
//!
//! Numbers only grow. A file gets the name of a later segment only when it is written in full
//! and synced, or when every frame in it is released; names change one at a time, oldest first,
//! each synced, so what is missing after a crash is a prefix. A segment's header is written only
//! when every earlier frame is durable ([`crate::format::segment`]).

mod batch;
mod ends;
mod error;
mod lane;
mod names;
mod reader;
mod recover;
mod recycle;
mod signal;
mod writer;

pub use crate::format::frame::FrameHead;
pub use crate::format::segment::Identity;
pub use ends::check_ends;
pub use error::WalError;
pub use lane::{Lane, LaneOptions, LaneStats, Observer, Stage};
pub use recover::{
    LaneImage, LaneTail, Recovered, TailSegment, any_lane, era_after, recover, remove_lane,
};

use crate::ids::LaneId;

/// Number of a frame in its lane, dense, from 1; 0 is before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

/// Where a frame's payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The lane.
    pub lane: LaneId,
    /// Number of the segment in the lane.
    pub segment: u64,
    /// Offset of the payload in the segment, bytes.
    pub offset: u32,
    /// Length of the payload, bytes.
    pub len: u32,
}

/// Called once, in the order of appends, when a frame is durable or when it never will be.
pub type Done = Box<dyn FnOnce(Result<(), WalError>)>;
