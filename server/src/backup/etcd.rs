//! What etcd keeps in which bucket of its database, as bytes. Used by both ways: `export` and
//! `restore`.
//!
//! | bucket | key | value |
//! |---|---|---|
//! | `key` | revision: main, `_`, sub, `t` behind it for a delete | `mvccpb.KeyValue` |
//! | `lease` | id, 8 bytes big-endian | `leasepb.Lease`: id, seconds granted, seconds left |
//! | `alarm` | `AlarmMember` | nothing |
//! | `members` | id, 16 hexadecimal digits | JSON |
//! | `meta` | `consistent_index`, `term` | 8 bytes big-endian |
//! | `meta` | `confState` | `raftpb.ConfState` as JSON |
//! | `meta` | `scheduledCompactRev`, `finishedCompactRev` | revision |
//! | `auth` | `authEnabled` | 1 if it is on |
//!
//! The parts of a revision have 8 bytes each, big-endian.
//!
//! There are no more in what is written: `storageVersion` came with etcd 3.6, and a file without it
//! is one of 3.5, which later versions take, too. `clusterVersion` would keep older ones out.

use engine::ids::Revision;
use prost::Message;
use proto::etcdserverpb::AlarmMember;

/// The buckets, sorted.
pub const BUCKETS: [&[u8]; 10] = [
    ALARM,
    AUTH,
    b"authRoles",
    AUTH_USERS,
    b"cluster",
    KEY,
    LEASE,
    MEMBERS,
    b"members_removed",
    META,
];
/// Alarms that are up.
pub const ALARM: &[u8] = b"alarm";
/// Whether users are asked for.
pub const AUTH: &[u8] = b"auth";
/// Users.
pub const AUTH_USERS: &[u8] = b"authUsers";
/// All versions of all keys.
pub const KEY: &[u8] = b"key";
/// Leases.
pub const LEASE: &[u8] = b"lease";
/// Members.
pub const MEMBERS: &[u8] = b"members";
/// Where the store stands.
pub const META: &[u8] = b"meta";

/// In [`AUTH`].
pub const AUTH_ENABLED: &[u8] = b"authEnabled";
/// In [`META`].
pub const CONSISTENT_INDEX: &[u8] = b"consistent_index";
/// In [`META`].
pub const TERM: &[u8] = b"term";
/// In [`META`].
pub const CONF_STATE: &[u8] = b"confState";
/// In [`META`].
pub const SCHEDULED: &[u8] = b"scheduledCompactRev";
/// In [`META`].
pub const FINISHED: &[u8] = b"finishedCompactRev";

/// The version of etcd whose files are written, as `SnapshotResponse.version` says it.
pub const VERSION: &str = "3.5.0";

/// Most bytes of a revision's key.
pub const REVISION_MAX: usize = 18;

/// Bytes of the key of a revision.
pub fn revision_len(is_delete: bool) -> usize {
    17 + usize::from(is_delete)
}

/// A revision as a key.
pub fn revision_key(revision: Revision, is_delete: bool) -> ([u8; REVISION_MAX], usize) {
    let mut key = [b't'; REVISION_MAX];
    key[..8].copy_from_slice(&revision.main.to_be_bytes());
    key[8] = b'_';
    key[9..17].copy_from_slice(&revision.sub.to_be_bytes());
    (key, revision_len(is_delete))
}

/// The revision in a key, and whether it is of a delete.
pub fn read_revision(key: &[u8]) -> Option<(Revision, bool)> {
    let is_delete = match key.get(17..)? {
        [] => false,
        [b't'] => true,
        _ => return None,
    };
    let number = |at: usize| Some(i64::from_be_bytes(key.get(at..at + 8)?.try_into().ok()?));
    let is_revision = key.get(8) == Some(&b'_');
    is_revision.then_some((Revision::new(number(0)?, number(9)?), is_delete))
}

/// `leasepb.Lease`.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Lease {
    /// Its id.
    #[prost(int64, tag = "1")]
    pub id: i64,
    /// Seconds granted.
    #[prost(int64, tag = "2")]
    pub ttl: i64,
    /// Seconds left when that was last noted, 0 for all.
    #[prost(int64, tag = "3")]
    pub remaining_ttl: i64,
}

/// Key and value of a lease.
pub fn lease(id: i64, ttl: i64) -> (Vec<u8>, Vec<u8>) {
    let value = Lease {
        id,
        ttl,
        remaining_ttl: 0,
    };
    (id.to_be_bytes().to_vec(), value.encode_to_vec())
}

/// Key of an alarm; it has no value.
pub fn alarm(member: u64, kind: u8) -> Vec<u8> {
    let alarm = AlarmMember {
        member_id: member,
        alarm: i32::from(kind),
    };
    alarm.encode_to_vec()
}
