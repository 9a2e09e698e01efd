//! What refuses a change before it takes a revision: afterwards nothing may. Evaluation and spans
//! ask it.

use crate::env::Env;
use crate::error::Error;
use crate::shard::program::Plan;
use crate::shard::shard_state::Shard;

/// Cost of a put beside key and value, as etcd counts it against the quota, bytes.
const PUT_COST_BYTES: usize = 256;

impl<E: Env> Shard<E> {
    /// Everything that can refuse a change, before it takes a revision. `bytes` of keys and
    /// values are to be added; 0 for deletes, which the quota never refuses.
    pub(super) fn admit(&self, bytes: usize) -> Result<(), Error> {
        let order = &self.desk.order;
        if !order.is_open() {
            return Err(Error::NoLeader);
        }
        if !order.has_room() || self.upkeep.holds_back() {
            return Err(Error::TooManyRequests);
        }
        if self.upkeep.is_disk_full() || self.log_is_full() {
            return Err(Error::NoSpace);
        }
        if bytes > 0 {
            if order.no_space() {
                return Err(Error::NoSpace);
            }
            let cost = (bytes + PUT_COST_BYTES) as u64;
            if self.quota_bytes > 0 && order.bytes().0 as u64 + cost > self.quota_bytes {
                self.desk.raise_no_space();
                return Err(Error::NoSpace);
            }
        }
        Ok(())
    }

    /// Whether the log could not get a further segment. What is left of the present one is kept
    /// for what was admitted already. Has the lane try again.
    fn log_is_full(&self) -> bool {
        let group = self.group.borrow();
        let Some(lane) = group.as_ref().map(|group| group.log().lane()) else {
            return false;
        };
        let stats = lane.stats();
        let full = stats.starved && stats.ready == 0;
        if full {
            lane.retry_space();
        }
        full
    }
}

/// Bytes of keys and values put by a plan; 0 where it only deletes.
pub(super) fn planned_bytes(plan: &Plan) -> usize {
    let puts = plan.changes.iter().filter_map(|planned| {
        planned
            .change
            .put
            .as_ref()
            .map(|put| planned.change.key.len() + put.value.len())
    });
    puts.sum()
}
