//! The configuration in the engine's terms.

use std::time::Duration;

use engine::format::identity::Identity;
use engine::group::Timing;
use engine::group::types::Peer;
use engine::limits::{CHECKPOINT_WAL_BYTES, PAGE_CACHE_BYTES_MIN, SEAL_BYTES, STAGED_BYTES_MAX};
use engine::shard::auto_compact;
use engine::shard::boot::NodeOptions;
use engine::shard::core::Limits;
use engine::wal::LaneOptions;
use engine::watch::Settings;
use tuning::{DurableWrites, Profile};

use crate::config::{AutoCompaction, Config, version};
use crate::node::memory;

/// The part of the memory that pages may take: one of so many. The rest is for the index, requests
/// and whoever else is on the machine.
const MEMORY_PARTS: u64 = 4;

/// What the engine is told.
pub(super) fn node_options(config: &Config, profile: &Profile, cores: u16) -> NodeOptions {
    let texts = |urls: &[crate::config::urls::Url]| {
        urls.iter().map(|url| url.as_str().to_owned()).collect()
    };
    NodeOptions {
        identity: Identity::new(config.cluster_id.0, config.member_id.0),
        peer: Peer {
            name: config.name.clone(),
            peer_urls: texts(&config.initial_advertise_peer_urls),
            client_urls: texts(&config.advertise_client_urls),
        },
        shards: config.shards,
        cores,
        lanes: profile.wal.lanes.count(cores),
        created_by: version::OWN.to_owned(),
        limits: Limits {
            txn_ops_max: config.max_txn_ops,
            quota_bytes: config.quota_bytes.unwrap_or(0),
            checkpoint_bytes: profile.wal.checkpoint_bytes.unwrap_or(CHECKPOINT_WAL_BYTES),
            seal_bytes: SEAL_BYTES as u64,
            staged_bytes_max: STAGED_BYTES_MAX as u64,
            auto_compaction: match config.auto_compaction {
                AutoCompaction::Off => auto_compact::AutoCompaction::Off,
                AutoCompaction::Periodic(time) => auto_compact::AutoCompaction::Periodic(time),
                AutoCompaction::Revision(kept) => auto_compact::AutoCompaction::Revision(kept),
            },
        },
        timing: timing(config, profile),
        lane: LaneOptions {
            segment_bytes: profile.wal.segment_bytes,
            durable_writes: profile.wal.durable_writes == DurableWrites::Dsync,
            keep_segments: profile.wal.segment_count as usize,
            ..LaneOptions::default()
        },
        watch: Settings {
            progress_interval_ns: config.watch_progress_notify_interval.as_nanos() as u64,
            ..Settings::default()
        },
        page_cache_bytes: page_cache_bytes(config),
        batch_delay: Duration::from_micros(u64::from(profile.wal.group_commit_delay_us)),
    }
}

/// Bytes of pages kept in memory.
pub(super) fn page_cache_bytes(config: &Config) -> u64 {
    page_cache_of(config, memory::usable())
}

/// What the flag says counts, else a part of the memory, but no more than data may take.
fn page_cache_of(config: &Config, memory: u64) -> u64 {
    let quota = config.quota_bytes.unwrap_or(u64::MAX);
    let usual = (memory / MEMORY_PARTS).min(quota);
    let usual = usual.max(PAGE_CACHE_BYTES_MIN as u64);
    config.page_cache_bytes.unwrap_or(usual)
}

/// What flags say counts, else what the profile says, else etcd's defaults.
pub(super) fn timing(config: &Config, profile: &Profile) -> Timing {
    let raft = config.timing.or(profile.raft).unwrap_or_default();
    Timing {
        heartbeat_ms: raft.heartbeat_interval_ms,
        election_ms: raft.election_timeout_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::config;

    #[test]
    fn pages_take_a_quarter_of_the_memory_but_no_more_than_data_may() {
        let of = |flags: &str, memory: u64| page_cache_of(&config(flags), memory);
        assert_eq!(of("", 6 << 30), 3 << 29);
        assert_eq!(of("", 64 << 30), 2 << 30);
        assert_eq!(of("--quota-backend-bytes 8589934592", 64 << 30), 8 << 30);
        assert_eq!(of("--quota-backend-bytes=-1", 64 << 30), 16 << 30);
        assert_eq!(of("", 1 << 20), 64 << 20);
        assert_eq!(of("--page-cache-bytes 1000", 64 << 30), 1000);
    }

    #[test]
    fn flags_beat_the_profile_and_the_profile_beats_the_defaults() {
        let of = |flags: &str, profile: &str| {
            let profile = Profile::built_in(profile).expect("built in");
            let found = timing(&config(flags), &profile);
            (found.heartbeat_ms, found.election_ms)
        };
        assert_eq!(of("", "nvme-plp"), (100, 1000));
        assert_eq!(of("", "spinning"), (300, 3000));
        assert_eq!(of("--heartbeat-interval 50", "spinning"), (50, 1000));
        assert_eq!(of("--election-timeout 4000", "spinning"), (100, 4000));
    }
}
