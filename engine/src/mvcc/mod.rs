//! Multi-version storage of one shard: index, pages, compaction, checkpoints.

pub mod checkpoint;
pub(crate) mod page_cache;
pub mod pages;
pub mod version;

pub use version::{Key, PageId, PageSlot, Value, Version};
