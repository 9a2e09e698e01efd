//! Every bound in one file, with the relations between them checked at compile time.

/// Unit of direct I/O: offsets and lengths are multiples of this many bytes.
pub const BLOCK_BYTES: usize = 4096;

/// Bytes of a WAL segment file unless a tuning profile says otherwise.
pub const WAL_SEGMENT_BYTES: u64 = 32 << 20;

/// Largest buffer in which a lane gathers frames for one write, unless one frame needs more.
pub const WAL_BUFFER_BYTES: usize = 256 << 10;

/// Bytes after which a lane puts no further write into a round.
pub const WAL_ROUND_BYTES: usize = 4 << 20;

/// Most writes a lane hands to the disk at once.
pub const WAL_ROUND_WRITES: usize = 16;

/// Bytes queued on a lane and not being written; more is refused.
pub const WAL_QUEUE_BYTES: usize = 64 << 20;

/// Bytes of one write when a segment is filled, and of one read when it is recovered.
pub const WAL_FILL_BYTES: usize = 1 << 20;

/// Most bytes of one encoded batch (one Raft entry). A larger transaction is split in parts.
pub const BATCH_BYTES_MAX: usize = 4 << 20;

/// Most operations gathered in one batch.
pub const BATCH_OPS_MAX: usize = 8192;

/// Bytes a sealed page aims at; a value larger than this gets a page of its own.
pub const PAGE_BYTES: usize = 64 << 10;

/// Bytes of a page file before the next one is begun.
pub const PAGE_FILE_BYTES: u64 = 64 << 20;

/// Bytes of pages kept in memory on each shard that were written and not yet read.
pub const PAGE_CACHE_UNREAD_BYTES: usize = 32 << 20;

/// Least bytes of pages kept in memory unless somebody says otherwise.
pub const PAGE_CACHE_BYTES_MIN: usize = 64 << 20;

/// Bytes of one write of pages or of a checkpoint.
pub const WRITE_BYTES: usize = 1 << 20;

/// Pages read at once for one caller.
pub const PAGE_READS_MAX: usize = 16;

/// Bytes of entries after which a chunk of a checkpoint's index file is closed.
pub const INDEX_CHUNK_BYTES: usize = 64 << 10;

/// Most versions in one entry of an index file; a key with more has several entries.
pub const INDEX_ENTRY_VERSIONS: usize = 512;

/// Most bytes of one chunk of an index file.
pub const INDEX_CHUNK_BYTES_MAX: usize = 16 << 20;

/// Most bytes of a manifest or superblock.
pub const DOCUMENT_BYTES_MAX: usize = 1 << 30;

/// WAL bytes after which a checkpoint is begun.
pub const CHECKPOINT_WAL_BYTES: u64 = 96 << 20;

/// Staged value bytes on one shard after which they are sealed into pages.
pub const SEAL_BYTES: usize = 8 << 20;

/// Staged value bytes on one shard from which on changes wait for pages to be written.
pub const STAGED_BYTES_MAX: usize = 512 << 20;

/// Requests one core holds unanswered before it refuses with `too many requests`.
pub const CORE_REQUESTS_MAX: usize = 65_536;

/// Revisions given out and not settled; the settled ring has this many slots.
pub const UNSETTLED_MAX: u64 = 1 << 16;

/// Keys handled between two yields of background work (compaction, checkpoints, hashes).
pub const STEP_KEYS: usize = 512;

/// Default of `--max-request-bytes`.
pub const REQUEST_BYTES_DEFAULT: usize = 1_572_864;

/// Default of `--max-txn-ops`.
pub const TXN_OPS_DEFAULT: usize = 128;

/// Default of `--quota-backend-bytes`.
pub const QUOTA_BYTES_DEFAULT: u64 = 2 << 30;

/// Largest time to live of a lease, seconds.
pub const LEASE_TTL_MAX_S: i64 = 9_000_000_000;

/// Bytes of one watch response before it is split, when the watcher asked for fragments.
pub const WATCH_FRAGMENT_BYTES: usize = 2 << 20;

/// Bytes of events queued on one watch stream before its watchers fall back to history.
pub const WATCH_STREAM_BYTES: usize = 8 << 20;

/// Bytes of recent events a core keeps so that a watcher can step from history to live.
pub const WATCH_RECENT_BYTES: usize = 8 << 20;

/// Most events read from history for one watcher in one step.
pub const WATCH_CATCH_UP_EVENTS: usize = 1000;

/// Shards a cluster may have.
pub const SHARDS_MAX: u16 = 1024;

const _: () = assert!(BATCH_BYTES_MAX * 4 < WAL_SEGMENT_BYTES as usize);
const _: () = assert!(WAL_BUFFER_BYTES.is_multiple_of(BLOCK_BYTES));
const _: () = assert!(WAL_FILL_BYTES.is_multiple_of(BLOCK_BYTES));
const _: () = assert!(BATCH_BYTES_MAX <= WAL_QUEUE_BYTES);
const _: () = assert!(PAGE_BYTES.is_multiple_of(BLOCK_BYTES));
const _: () = assert!(WRITE_BYTES.is_multiple_of(BLOCK_BYTES));
const _: () = assert!(INDEX_CHUNK_BYTES + BATCH_BYTES_MAX < INDEX_CHUNK_BYTES_MAX);
const _: () = assert!(SEAL_BYTES * 8 <= STAGED_BYTES_MAX);
const _: () = assert!(UNSETTLED_MAX.is_power_of_two());
const _: () = assert!(UNSETTLED_MAX >= 2 * BATCH_OPS_MAX as u64);
const _: () = assert!(REQUEST_BYTES_DEFAULT < BATCH_BYTES_MAX);
