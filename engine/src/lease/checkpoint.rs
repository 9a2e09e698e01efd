//! The lease table as bytes, for checkpoints and snapshots. Called by the shard; the frame
//! around it carries length and checksum.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 2 | format version, 1, little-endian as all numbers |
//! | 2 | 6 | zero |
//! | 8 | 8 | number of leases |
//! | 16 + 16 i | 8 | id of lease i, ascending |
//! | 24 + 16 i | 8 | seconds granted |
//!
//! Deadlines are not in it: they belong to one principalship.

use crate::error::Error;
use crate::ids::LeaseId;
use crate::lease::table::Table;
use crate::limits::LEASE_TTL_MAX_S;

const VERSION: u16 = 1;
const HEADER_BYTES: usize = 16;
const LEASE_BYTES: usize = 16;

impl Table {
    /// The granted leases as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.leases.len() * LEASE_BYTES);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 6]);
        bytes.extend_from_slice(&(self.leases.len() as u64).to_le_bytes());
        for (id, lease) in &self.leases {
            bytes.extend_from_slice(&id.0.to_le_bytes());
            bytes.extend_from_slice(&lease.ttl_s.to_le_bytes());
        }
        debug_assert_eq!(bytes.len(), HEADER_BYTES + self.leases.len() * LEASE_BYTES);
        bytes
    }

    /// The table that [`Table::encode`] wrote, of a node that is not principal.
    ///
    /// # Errors
    /// [`Error::Storage`] with the offset at which the bytes make no sense.
    pub fn decode(bytes: &[u8], ttl_min_s: i64) -> Result<Self, Error> {
        let broken = |what: &str, offset: usize| {
            Err(Error::Storage(format!(
                "lease table: {what} at offset {offset}"
            )))
        };
        let Some((header, leases)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return broken("header cut short", bytes.len());
        };
        let version = u16::from_le_bytes([header[0], header[1]]);
        if version != VERSION {
            return broken(&format!("unknown format version {version}"), 0);
        }
        let (entries, rest) = leases.as_chunks::<LEASE_BYTES>();
        if number(&header[8..]) != entries.len() as i64 || !rest.is_empty() {
            return broken("count does not fit the length", 8);
        }
        let mut grants: Vec<(LeaseId, i64)> = Vec::with_capacity(entries.len());
        for (at, entry) in entries.iter().enumerate() {
            let (id, ttl_s) = (LeaseId(number(entry)), number(&entry[8..]));
            let offset = HEADER_BYTES + at * LEASE_BYTES;
            if id == LeaseId(0) || grants.last().is_some_and(|(before, _)| *before >= id) {
                return broken("lease id out of order", offset);
            }
            if !(1..=LEASE_TTL_MAX_S).contains(&ttl_s) {
                return broken("impossible time to live", offset + 8);
            }
            grants.push((id, ttl_s));
        }
        Ok(Self::with_grants(ttl_min_s, grants.into_iter()))
    }
}

/// The first eight bytes as a number; 0 where there are fewer.
fn number(bytes: &[u8]) -> i64 {
    bytes
        .first_chunk()
        .map_or(0, |eight| i64::from_le_bytes(*eight))
}
