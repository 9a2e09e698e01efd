//! Sealing: what one shard has staged goes into pages, a page at a time, between other work. Called
//! by the background task of `maintain` and by checkpoints.

use std::cell::RefCell;
use std::ops::ControlFlow;

use crate::env::{Disk, Env};
use crate::format::page::{ROOM_BYTES, Record, record_bytes};
use crate::limits::STEP_KEYS;
use crate::mvcc::pages::{PageError, Source};
use crate::mvcc::{Key, PageSlot, Unsealed, Value, Version};
use crate::shard::shard_state::Shard;
use crate::shard::store::Store;
use crate::shard::turn::yield_now;

/// Bytes of records sealed in one go. Each go ends with a sync of the page file, which the log's
/// writes have to wait behind on many disks.
const SEAL_STEP_BYTES: usize = 4 << 20;

/// The staged versions of a shard, as records for pages.
struct Staged<'a, D: Disk> {
    store: &'a RefCell<Store<D>>,
    /// The highest revision that is taken.
    upto: i64,
    /// Those taken so far, in the order of their records.
    taken: Vec<Unsealed>,
    /// Bytes that may still be taken.
    left: usize,
}

impl<D: Disk> Source for Staged<'_, D> {
    fn page(&mut self, make: &mut dyn FnMut(&[Record<'_>])) {
        if self.left == 0 {
            return;
        }
        let store = self.store.borrow();
        let after = self.taken.last().copied();
        let (mut records, mut bytes) = (Vec::new(), 0);
        store
            .index
            .unsealed(after, self.upto, |place, key, version| {
                let record = record(key, version);
                let more = record_bytes(record.key.len(), record.value.len());
                if !records.is_empty() && bytes + more > ROOM_BYTES {
                    return ControlFlow::Break(());
                }
                bytes += more;
                records.push(record);
                self.taken.push(place);
                ControlFlow::Continue(())
            });
        self.left = self.left.saturating_sub(bytes);
        if !records.is_empty() {
            make(&records);
        }
    }
}

fn record<'a>(key: &'a Key, version: &'a Version) -> Record<'a> {
    let value: &[u8] = match &version.value {
        Value::Staged(value) => value,
        Value::Deleted | Value::Sealed(_) => &[],
    };
    Record {
        key,
        main: version.revision.main,
        sub: version.revision.sub,
        create_revision: version.create_revision,
        version: version.version,
        lease: version.lease,
        value,
    }
}

impl<E: Env> Shard<E> {
    /// Seals everything staged through `upto`.
    ///
    /// # Errors
    /// The disk is full or failed.
    pub(super) async fn seal_all(&self, upto: i64) -> Result<(), PageError> {
        while self.seal_some(upto).await? {
            yield_now::<E>().await;
        }
        Ok(())
    }

    /// Seals a step's worth of what is staged through `upto`. Returns whether there was any.
    pub(super) async fn seal_some(&self, upto: i64) -> Result<bool, PageError> {
        let _only = self.upkeep.sealing.lock().await;
        self.store.borrow_mut().index.prune_staged();
        let pages = self.store.borrow().pages.clone();
        let mut staged = Staged {
            store: &self.store,
            upto,
            taken: Vec::new(),
            left: SEAL_STEP_BYTES,
        };
        let began_ns = self.desk.clock.now_ns();
        let slots = pages
            .seal_from(&mut staged, async || yield_now::<E>().await)
            .await?;
        let took_ns = self.desk.clock.now_ns().saturating_sub(began_ns);
        let taken = staged.taken;
        if taken.is_empty() {
            return Ok(false);
        }
        self.desk.counts.sealed(took_ns);
        self.upkeep.disk_full.set(false);
        for (places, slots) in taken.chunks(STEP_KEYS).zip(slots.chunks(STEP_KEYS)) {
            self.reseat(places, slots);
            yield_now::<E>().await;
        }
        self.account();
        Ok(true)
    }

    /// Notes where staged versions lie now.
    fn reseat(&self, places: &[Unsealed], slots: &[PageSlot]) {
        let mut store = self.store.borrow_mut();
        for (place, slot) in places.iter().zip(slots) {
            if !store.index.reseat_unsealed(*place, *slot) {
                store.pages.dead(slot);
            }
        }
        store.index.prune_staged();
    }
}
