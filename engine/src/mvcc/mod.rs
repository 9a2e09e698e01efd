//! Multi-version storage of one shard: index, pages, compaction, checkpoints.

mod compact;
pub mod hash;
mod history;
pub mod index;
pub mod read;
mod staging;
pub mod version;

pub use index::{Builder, Index, IndexStats};
pub use version::{Key, PageId, PageSlot, Value, Version};
