//! Holds changes back while a shard has more staged than its pages can take in as fast: they are
//! parked and not refused. Called where changes are submitted and where pages were written.

use std::rc::Rc;
use std::time::Duration;

use openraft::type_config::TypeConfigExt;

use crate::env::Env;
use crate::error::Error;
use crate::group::types::Types;
use crate::shard::core::Core;
use crate::shard::message::Ask;
use crate::shard::shard_state::Shard;
use crate::shard::turn::spawn;
use crate::shard::{check, maintain::Upkeep};

/// The longest wait of an operation over several shards; after it, it takes its chance.
const SPAN_WAIT_MAX: Duration = Duration::from_secs(10);

/// How often it is looked whether there is room again, and how long those who were let in have
/// before the next ones come.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// One of so many parts of what may be staged is let in at once.
const PARTS: u64 = 8;

impl Upkeep {
    /// Whether changes have to wait for pages. Nothing gets better by waiting for a full disk: then
    /// they are refused.
    pub(super) fn holds_back(&self) -> bool {
        self.choked.get() && !self.disk_full.get()
    }
}

impl<E: Env> Shard<E> {
    /// Notes how much is staged. Called whenever that has become more or less.
    pub(super) fn note_pace(&self, staged: u64) {
        let upkeep = &self.upkeep;
        upkeep.choked.set(staged > upkeep.staged_bytes_max.get());
        let behind = upkeep.holds_back();
        if upkeep.behind.replace(behind) != behind {
            self.desk.order.note_behind(behind);
            // What was parked is let in by the background task.
            upkeep.poke();
        }
    }

    /// Evaluates what was parked, first come first served, unless the shard stands still or is
    /// behind again. Many at once would be too much again: the rest follows soon.
    pub(super) fn let_in(self: &Rc<Self>) {
        let mut left = self.upkeep.staged_bytes_max.get() / PARTS;
        while !self.is_paused() && !self.upkeep.holds_back() {
            let Some((ask, responder)) = self.parked.borrow_mut().pop_front() else {
                return;
            };
            left = left.saturating_sub(bytes(&ask));
            self.submit(ask, responder);
            if left == 0 {
                return self.let_in_soon();
            }
        }
    }

    fn let_in_soon(self: &Rc<Self>) {
        let shard = self.clone();
        spawn::<E>(async move {
            Types::<E>::sleep(LOOK_EVERY).await;
            shard.let_in();
        });
    }
}

impl<E: Env> Core<E> {
    /// Waits while any shard holds changes back.
    ///
    /// # Errors
    /// The node is stopping.
    pub(super) async fn wait_for_pages(&self) -> Result<(), Error> {
        let began = self.desk.clock.now_ns();
        let waited = || Duration::from_nanos(self.desk.clock.now_ns().saturating_sub(began));
        while self.desk.order.is_behind() && waited() < SPAN_WAIT_MAX {
            self.desk.check_running()?;
            Types::<E>::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }
}

/// Bytes that a change adds, about.
fn bytes(ask: &Ask) -> u64 {
    match ask {
        Ask::Put(request) => check::put_cost(request),
        Ask::Txn(request) => check::txn_cost(request),
        _ => 0,
    }
}
