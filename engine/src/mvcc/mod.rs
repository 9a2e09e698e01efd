//! Multi-version storage of one shard: index, pages, compaction, checkpoints.

pub mod version;

pub use version::{Key, PageId, PageSlot, Value, Version};
