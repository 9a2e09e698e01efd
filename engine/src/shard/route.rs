//! Which shard a key is on. Part of the format: the name and the function never change for a
//! cluster that exists.

use crate::ids::ShardId;

/// Name of the hash, stored in the superblock.
pub const HASH_NAME: &str = "fnv1a-64";

/// The shard of `key` among `shards`.
pub fn shard_of(key: &[u8], shards: u16) -> ShardId {
    assert!(shards > 0, "a cluster has at least one shard");
    if shards == 1 {
        return ShardId(0);
    }
    ShardId((fold(fnv1a(key)) % u64::from(shards)) as u16)
}

/// FNV-1a over the key's bytes.
fn fnv1a(key: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    key.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// FNV's low bits see little of the last bytes' high bits; the upper half is folded in.
fn fold(hash: u64) -> u64 {
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shard_of_a_key_is_part_of_the_format() {
        let shards: Vec<u16> = [&b"a"[..], b"b", b"/registry/pods/default/x", b"", b"\0"]
            .iter()
            .map(|key| shard_of(key, 5).0)
            .collect();
        assert_eq!(shards, [4, 1, 3, 0, 0]);
    }

    #[test]
    fn keys_that_differ_in_a_number_spread_over_the_shards() {
        let mut counts = [0; 4];
        for n in 0..4000 {
            counts[shard_of(format!("key-{n:08}").as_bytes(), 4).0 as usize] += 1;
        }
        assert!(counts.iter().all(|c| (800..1200).contains(c)), "{counts:?}");
    }
}
