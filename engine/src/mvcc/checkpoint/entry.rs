//! One entry of an index file: a key with its versions, as `format/checkpoint` describes.

use crate::format::varint::{put, take, take_slice};
use crate::ids::Revision;
use crate::mvcc::version::{PageId, PageSlot, Value, Version};

const PLACE_DELETED: u64 = 0;
const PLACE_PAGE: u64 = 1;

/// Appends one entry; `more` tells that the next goes on with the same key. Fails with the
/// revision of a version that is not sealed.
pub(super) fn encode(
    out: &mut Vec<u8>,
    key: &[u8],
    versions: &[Version],
    more: bool,
) -> Result<(), Revision> {
    put(out, key.len() as u64);
    out.extend_from_slice(key);
    put(out, versions.len() as u64 * 2 + u64::from(more));
    for version in versions {
        encode_version(out, version)?;
    }
    Ok(())
}

fn encode_version(out: &mut Vec<u8>, version: &Version) -> Result<(), Revision> {
    let place = match &version.value {
        Value::Deleted => PLACE_DELETED,
        Value::Sealed(_) => PLACE_PAGE,
        Value::Staged(_) => return Err(version.revision),
    };
    put(out, place * 2 + u64::from(version.lease != 0));
    // Revisions and counters are never negative, and a create revision is never above its
    // version's; should that be broken, the wrapped numbers come back as they were.
    put(out, version.revision.main as u64);
    put(out, version.revision.sub as u64);
    if let Value::Sealed(slot) = &version.value {
        put(
            out,
            version.revision.main.wrapping_sub(version.create_revision) as u64,
        );
        put(out, version.version as u64);
        put(out, u64::from(slot.page.file));
        put(out, u64::from(slot.page.block));
        put(out, u64::from(slot.slot));
        put(out, u64::from(slot.len));
    }
    if version.lease != 0 {
        put(out, version.lease as u64);
    }
    Ok(())
}

/// An entry being read.
pub(super) struct Entry<'a> {
    /// The key.
    pub(super) key: &'a [u8],
    /// Versions of this entry, still to be taken with [`take_version`].
    pub(super) versions: u64,
    /// The next entry goes on with this key.
    pub(super) more: bool,
}

/// Takes the head of an entry off `bytes`; `None` if there is none.
pub(super) fn take_entry<'a>(bytes: &mut &'a [u8]) -> Option<Entry<'a>> {
    let key_len = take(bytes)?;
    let key = take_slice(bytes, key_len)?;
    let count = take(bytes)?;
    Some(Entry {
        key,
        versions: count / 2,
        more: count % 2 == 1,
    })
}

/// Takes one version off `bytes`; `None` if there is none.
pub(super) fn take_version(bytes: &mut &[u8]) -> Option<Version> {
    let kind = take(bytes)?;
    let revision = Revision::new(take(bytes)? as i64, take(bytes)? as i64);
    let mut version = Version {
        revision,
        create_revision: 0,
        version: 0,
        lease: 0,
        value: Value::Deleted,
    };
    match kind / 2 {
        PLACE_DELETED => {}
        PLACE_PAGE => {
            version.create_revision = revision.main.wrapping_sub(take(bytes)? as i64);
            version.version = take(bytes)? as i64;
            let page = PageId {
                file: small(bytes)?,
                block: small(bytes)?,
            };
            version.value = Value::Sealed(PageSlot {
                page,
                slot: small(bytes)?,
                len: small(bytes)?,
            });
        }
        _ => return None,
    }
    if kind % 2 == 1 {
        version.lease = take(bytes)? as i64;
    }
    Some(version)
}

fn small(bytes: &mut &[u8]) -> Option<u32> {
    take(bytes)?.try_into().ok()
}

#[cfg(test)]
mod tests;
