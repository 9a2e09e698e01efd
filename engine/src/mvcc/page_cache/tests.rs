//! The cache's bound, what it keeps and what it lets go.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::format::identity::Identity;
use crate::format::page::{PageDraft, PagePlace, Record};
use crate::ids::ShardId;
use crate::limits::BLOCK_BYTES;

fn id(block: u32) -> PageId {
    PageId { file: 1, block }
}

/// A page of one block whose value tells its block.
fn page(block: u32) -> Page {
    let value = block.to_le_bytes();
    let record = Record {
        key: b"key",
        main: 2,
        sub: 0,
        create_revision: 2,
        version: 1,
        lease: 0,
        value: &value,
    };
    let identity = Identity::new(1, 2);
    PageDraft::new(&[record]).finish(&PagePlace {
        identity,
        shard: ShardId(0),
        file: 1,
        block,
    })
}

fn has(cache: &PageCache, block: u32) -> bool {
    cache.places.contains_key(&id(block))
}

#[test]
fn the_bound_holds_whatever_comes() {
    let mut cache = PageCache::new(5 * BLOCK_BYTES, 5 * BLOCK_BYTES);
    for block in 0..1000 {
        cache.insert(id(block % 37), page(block % 37));
        assert!(cache.bytes() <= 5 * BLOCK_BYTES);
        let held = (0..37).filter(|block| has(&cache, *block)).count();
        assert_eq!(held * BLOCK_BYTES, cache.bytes());
        for block in 0..37 {
            if has(&cache, block) {
                let value = cache.places.get(&id(block)).map(|at| &cache.entries[*at]);
                let entry = value.unwrap().as_ref().unwrap();
                assert_eq!(entry.page.value(0).unwrap(), block.to_le_bytes()[..]);
            }
        }
    }
    assert!(cache.entries.len() <= 7, "places are used again");
}

#[test]
fn a_page_in_use_outlives_pages_that_pass_through() {
    let mut cache = PageCache::new(4 * BLOCK_BYTES, 4 * BLOCK_BYTES);
    cache.insert(id(0), page(0));
    for block in 1..100 {
        cache.insert(id(block), page(block));
        assert!(cache.get(id(0)).is_some(), "evicted by page {block}");
    }
}

#[test]
fn pinned_pages_stay_beyond_the_bound_and_go_when_unpinned() {
    let mut cache = PageCache::new(2 * BLOCK_BYTES, 0);
    for block in 0..6 {
        cache.pin(id(block), page(block));
    }
    cache.pin(id(0), page(0));
    assert!((0..6).all(|block| has(&cache, block)));
    for block in 0..6 {
        cache.unpin(id(block));
    }
    assert_eq!(cache.bytes(), 2 * BLOCK_BYTES);
    assert!(has(&cache, 0), "still pinned once");
    cache.unpin(id(0));
    cache.unpin(id(0));
}

#[test]
fn the_pages_of_a_removed_file_go() {
    let mut cache = PageCache::new(100 * BLOCK_BYTES, 100 * BLOCK_BYTES);
    cache.insert(id(0), page(0));
    cache.pin(id(1), page(1));
    cache.insert(PageId { file: 2, block: 0 }, page(0));
    cache.remove_file(1);
    assert_eq!(cache.bytes(), BLOCK_BYTES);
    assert!(cache.get(id(0)).is_none());
    assert!(cache.get(PageId { file: 2, block: 0 }).is_some());
    cache.unpin(id(1));
}

#[test]
fn pages_that_nobody_reads_take_little_and_those_that_are_read_take_all() {
    let mut cache = PageCache::new(100 * BLOCK_BYTES, 3 * BLOCK_BYTES);
    for block in 0..50 {
        cache.insert(id(block), page(block));
        assert!(cache.bytes() <= 3 * BLOCK_BYTES);
    }
    assert!((47..50).all(|block| has(&cache, block)), "the newest stay");
    for block in 100..150 {
        cache.insert(id(block), page(block));
        assert!(cache.get(id(block)).is_some());
        cache.pin(id(block + 100), page(block + 100));
        cache.unpin(id(block + 100));
    }
    // 50 that were read after they had been written, 47 from the disk, and the unread ones.
    assert_eq!(cache.bytes(), 100 * BLOCK_BYTES);
    assert!((100..150).filter(|block| has(&cache, *block)).count() >= 47);
    assert_eq!(cache.unread.get(), unread(&cache));
}

#[test]
fn what_is_written_and_read_at_once_leaves_no_trail() {
    let mut cache = PageCache::new(4 * BLOCK_BYTES, 4 * BLOCK_BYTES);
    // One that is never read stands at the front of those written.
    for block in 0..10_000 {
        cache.insert(id(block), page(block));
        if block % 100 > 0 {
            cache.get(id(block));
        }
        assert_eq!(cache.unread.get(), unread(&cache));
    }
    assert!(cache.written.len() <= 100 && cache.entries.len() <= 6);
}

fn unread(cache: &PageCache) -> usize {
    let unread = cache.entries.iter().flatten().filter(|e| !e.read.get());
    unread.map(Entry::bytes).sum()
}
