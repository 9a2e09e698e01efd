//! Heartbeat interval and election timeout that a disk's tail allows.
//!
//! A leader that waits for its disk sends no heartbeat, and a follower that waits for its own
//! answers none. So the heartbeat interval is twice what 999 of 1000 syncs stay below, and an
//! election is called only when ten heartbeats are missing, or when twice the longest sync seen
//! and two heartbeats are over. Both are rounded up and never below etcd's defaults. The way
//! between the members comes on top: it is not measured here.

use std::time::Duration;

use serde::Serialize;
use tuning::Raft;

/// The two settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Timeouts {
    /// `--heartbeat-interval`, ms.
    pub heartbeat_ms: u64,
    /// `--election-timeout`, ms.
    pub election_ms: u64,
    /// Whether the longest sync asks for more than an election timeout may be.
    pub is_beyond: bool,
}

/// Derives them from the 99.9th percentile and the longest of all syncs.
#[must_use]
pub fn derive(p999: Duration, longest: Duration) -> Timeouts {
    let ms = |time: Duration| {
        u64::try_from(time.as_millis())
            .unwrap_or(u64::MAX / 8)
            .saturating_add(1)
    };
    let heartbeat = ms(p999).saturating_mul(2).next_multiple_of(50);
    let (least, most) = (Raft::default(), Raft::ELECTION_MS_MAX);
    let heartbeat = heartbeat.clamp(least.heartbeat_interval_ms, most / 10);
    let for_stall = 2 * (ms(longest).min(u64::MAX / 16) + heartbeat);
    let election = for_stall.max(10 * heartbeat).next_multiple_of(100);
    Timeouts {
        heartbeat_ms: heartbeat,
        election_ms: election.clamp(least.election_timeout_ms, most),
        is_beyond: election > most,
    }
}

#[cfg(test)]
mod tests;
