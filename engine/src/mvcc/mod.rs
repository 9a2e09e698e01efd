//! Multi-version storage of one shard: index, pages, compaction, checkpoints.

pub mod checkpoint;
mod compact;
pub mod dump;
pub mod hash;
mod history;
pub mod index;
mod lives;
pub(crate) mod page_cache;
pub mod pages;
pub mod read;
mod staging;
pub mod version;

pub use index::{Builder, Index, IndexStats};
pub use staging::Unsealed;
pub use version::{Key, PageId, PageSlot, Value, Version};
