//! The promises of durability that the engine rests on, each by a name, so that one can be broken:
//! the disk then says it synced and did not. Every class must be missed by the model's checks;
//! the table in `tests/cases/sim.rs` holds that.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use engine::env::memory::{SyncFilter, SyncKind};

/// One class of syncs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncClass {
    /// A durable write of frames, or the sync after one.
    LogWrite,
    /// The sync of a segment filled with zeros.
    LogFill,
    /// The syncs of a lane's directory.
    LogDir,
    /// The syncs of the directory that holds the lanes.
    LogRoot,
    /// The sync of segments that recovery read.
    LogReread,
    /// The sync of a page file.
    Page,
    /// The sync of a shard's directory of pages.
    PageDir,
    /// The sync of an index file.
    Index,
    /// The sync of the checkpoints' directory before the manifest is written.
    IndexDir,
    /// The sync of a manifest before it gets its name.
    Manifest,
    /// The sync of the checkpoints' directory after the manifest was renamed.
    ManifestDir,
    /// The sync of that directory when a node boots.
    ManifestReread,
    /// The sync of the superblock.
    Superblock,
    /// The sync of the root before the superblock is written.
    RootBefore,
    /// The sync of the root after the superblock was renamed.
    RootAfter,
    /// The syncs of the root when a lane is opened.
    RootAgain,
    /// Both of these: what either leaves out the other makes durable.
    RootAfterAndAgain,
    /// The sync of the directory that holds the shards' directories of pages.
    PageRoot,
}

/// All classes.
pub const ALL: [SyncClass; 18] = [
    SyncClass::LogWrite,
    SyncClass::LogFill,
    SyncClass::LogDir,
    SyncClass::LogRoot,
    SyncClass::LogReread,
    SyncClass::Page,
    SyncClass::PageDir,
    SyncClass::Index,
    SyncClass::IndexDir,
    SyncClass::Manifest,
    SyncClass::ManifestDir,
    SyncClass::ManifestReread,
    SyncClass::Superblock,
    SyncClass::RootBefore,
    SyncClass::RootAfter,
    SyncClass::RootAgain,
    SyncClass::RootAfterAndAgain,
    SyncClass::PageRoot,
];

/// What the filter must know of the node's life.
#[derive(Default)]
pub struct Phase {
    /// Syncs of the root since the node was made.
    root_syncs: Cell<u64>,
    /// Syncs of the checkpoints' directory in this life.
    checkpoint_syncs: Cell<u64>,
    /// Syncs of each lane's directory in this life.
    lane_syncs: RefCell<BTreeMap<String, u64>>,
}

impl Phase {
    /// A new life begins, on a disk with a superblock or without.
    pub fn begin_life(&self, has_superblock: bool) {
        self.root_syncs.set(if has_superblock { 2 } else { 0 });
        self.checkpoint_syncs.set(0);
        self.lane_syncs.borrow_mut().clear();
    }
}

/// The filter that breaks one class. `durable_writes`: how the log is written.
pub fn breaking(class: SyncClass, durable_writes: bool, phase: Rc<Phase>) -> SyncFilter {
    Rc::new(move |path, kind| {
        let found = classify(path, kind, durable_writes, &phase);
        let both = [Some(SyncClass::RootAfter), Some(SyncClass::RootAgain)];
        found == Some(class) || class == SyncClass::RootAfterAndAgain && both.contains(&found)
    })
}

/// Which class a sync belongs to.
fn classify(path: &str, kind: SyncKind, durable_writes: bool, phase: &Phase) -> Option<SyncClass> {
    let is_log = path.starts_with("wal/");
    match kind {
        SyncKind::Write if is_log => Some(SyncClass::LogWrite),
        SyncKind::File if is_log && path.contains("/new-") => Some(SyncClass::LogFill),
        SyncKind::File if is_log && durable_writes => Some(SyncClass::LogReread),
        SyncKind::File if is_log => {
            // A lane syncs its directory, then what it read, then its directory again.
            let lane = path.rsplit_once('/').map_or("", |(lane, _)| lane);
            let rereads = phase.lane_syncs.borrow().get(lane) == Some(&1);
            Some(if rereads {
                SyncClass::LogReread
            } else {
                SyncClass::LogWrite
            })
        }
        SyncKind::File if path.starts_with("pages/") => Some(SyncClass::Page),
        SyncKind::File if path.ends_with(".index") => Some(SyncClass::Index),
        SyncKind::File if path.starts_with("checkpoint/") => Some(SyncClass::Manifest),
        SyncKind::File => Some(SyncClass::Superblock),
        SyncKind::Dir if is_log => {
            *phase
                .lane_syncs
                .borrow_mut()
                .entry(path.to_owned())
                .or_default() += 1;
            Some(SyncClass::LogDir)
        }
        SyncKind::Dir if path == "wal" => Some(SyncClass::LogRoot),
        SyncKind::Dir if path == "pages" => Some(SyncClass::PageRoot),
        SyncKind::Dir if path.starts_with("pages/") => Some(SyncClass::PageDir),
        SyncKind::Dir if path == "checkpoint" => {
            // One when the node boots, then two for each checkpoint.
            let before = phase
                .checkpoint_syncs
                .replace(phase.checkpoint_syncs.get() + 1);
            Some(match before {
                0 => SyncClass::ManifestReread,
                n if n % 2 == 1 => SyncClass::IndexDir,
                _ => SyncClass::ManifestDir,
            })
        }
        SyncKind::Dir if path.is_empty() => {
            let before = phase.root_syncs.replace(phase.root_syncs.get() + 1);
            Some(match before {
                0 => SyncClass::RootBefore,
                1 => SyncClass::RootAfter,
                _ => SyncClass::RootAgain,
            })
        }
        SyncKind::Dir | SyncKind::Write => None,
    }
}
