//! `mvccpb.KeyValue` as bytes, exactly as etcd's generated Go code writes it: fields ascending,
//! zero and empty ones left out. Used by range runs, which are sent as they are, and by HashKV,
//! which hashes these bytes.
//!
//! | field | number | wire | left out when |
//! |---|---|---|---|
//! | key | 1 | length-delimited | empty |
//! | create_revision | 2 | varint | 0 |
//! | mod_revision | 3 | varint | 0 |
//! | version | 4 | varint | 0 |
//! | value | 5 | length-delimited | empty |
//! | lease | 6 | varint | 0 |

/// The tag before each entry of `RangeResponse.kvs` (field 2, length-delimited).
pub const RANGE_KVS_TAG: u8 = 0x12;

/// One `mvccpb.KeyValue`, borrowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KvFields<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Revision of the put that began the key's life.
    pub create_revision: i64,
    /// Revision of the last put.
    pub mod_revision: i64,
    /// Puts in this life.
    pub version: i64,
    /// The value.
    pub value: &'a [u8],
    /// The lease attached, 0 for none.
    pub lease: i64,
}

impl<'a> KvFields<'a> {
    /// Bytes that [`Self::write`] adds.
    pub fn encoded_len(&self) -> usize {
        bytes_field_len(self.key)
            + int_field_len(self.create_revision)
            + int_field_len(self.mod_revision)
            + int_field_len(self.version)
            + bytes_field_len(self.value)
            + int_field_len(self.lease)
    }

    /// The same for a value of `value_len` bytes in place of this one's.
    pub fn encoded_len_with(&self, value_len: usize) -> usize {
        let value = if value_len == 0 {
            0
        } else {
            1 + varint_len(value_len as u64) + value_len
        };
        self.encoded_len() - bytes_field_len(self.value) + value
    }

    /// Appends the message.
    pub fn write(&self, out: &mut Vec<u8>) {
        write_bytes_field(out, 0x0a, self.key);
        write_int_field(out, 0x10, self.create_revision);
        write_int_field(out, 0x18, self.mod_revision);
        write_int_field(out, 0x20, self.version);
        write_bytes_field(out, 0x2a, self.value);
        write_int_field(out, 0x30, self.lease);
    }

    /// Appends the message as one entry of `RangeResponse.kvs`: tag, length, message. Returns
    /// the number of bytes added.
    pub fn write_entry(&self, out: &mut Vec<u8>) -> usize {
        let before = out.len();
        let len = self.encoded_len();
        out.reserve(1 + varint_len(len as u64) + len);
        out.push(RANGE_KVS_TAG);
        write_varint(out, len as u64);
        self.write(out);
        out.len() - before
    }

    /// Reads an entry that [`Self::write_entry`] wrote. `None` for anything else, with no
    /// promise to read every form that protobuf allows.
    pub fn read_entry(entry: &'a [u8]) -> Option<Self> {
        let (&tag, rest) = entry.split_first()?;
        if tag != RANGE_KVS_TAG {
            return None;
        }
        let (message, rest) = take_bytes(rest)?;
        if !rest.is_empty() {
            return None;
        }
        Self::read(message)
    }

    /// Reads a message that [`Self::write`] or etcd wrote; as [`Self::read_entry`].
    pub fn read(message: &'a [u8]) -> Option<Self> {
        let mut fields = Self::default();
        let mut at = message;
        while let Some((&tag, rest)) = at.split_first() {
            at = match tag {
                0x0a => put(&mut fields.key, take_bytes(rest)?),
                0x10 => put(&mut fields.create_revision, take_int(rest)?),
                0x18 => put(&mut fields.mod_revision, take_int(rest)?),
                0x20 => put(&mut fields.version, take_int(rest)?),
                0x2a => put(&mut fields.value, take_bytes(rest)?),
                0x30 => put(&mut fields.lease, take_int(rest)?),
                _ => return None,
            };
        }
        Some(fields)
    }
}

/// The key of an entry that [`KvFields::write_entry`] wrote, without reading the rest; empty
/// where the bytes are no such entry.
pub fn entry_key(entry: &[u8]) -> &[u8] {
    let inner = || {
        let (_, after_len) = take_varint(entry.get(1..)?)?;
        let (&tag, rest) = after_len.split_first()?;
        if tag != 0x0a {
            return None;
        }
        Some(take_bytes(rest)?.0)
    };
    inner().unwrap_or(&[])
}

/// Bytes of `value` as a varint.
pub const fn varint_len(value: u64) -> usize {
    // Seven bits a byte; zero takes one byte too.
    ((64 - (value | 1).leading_zeros() as usize) * 9 + 64) / 64
}

/// Appends `value` as a varint.
#[inline]
pub fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn int_field_len(value: i64) -> usize {
    if value == 0 {
        0
    } else {
        1 + varint_len(value as u64)
    }
}

fn bytes_field_len(value: &[u8]) -> usize {
    if value.is_empty() {
        0
    } else {
        1 + varint_len(value.len() as u64) + value.len()
    }
}

#[inline]
fn write_int_field(out: &mut Vec<u8>, tag: u8, value: i64) {
    if value != 0 {
        out.push(tag);
        write_varint(out, value as u64);
    }
}

#[inline]
fn write_bytes_field(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    if !value.is_empty() {
        out.push(tag);
        write_varint(out, value.len() as u64);
        out.extend_from_slice(value);
    }
}

fn put<'a, T>(field: &mut T, (value, rest): (T, &'a [u8])) -> &'a [u8] {
    *field = value;
    rest
}

fn take_varint(from: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (i, &byte) in from.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return Some((value, from.get(i + 1..)?));
        }
    }
    None
}

fn take_int(from: &[u8]) -> Option<(i64, &[u8])> {
    let (value, rest) = take_varint(from)?;
    Some((value as i64, rest))
}

fn take_bytes(from: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = take_varint(from)?;
    rest.split_at_checked(usize::try_from(len).ok()?)
}

#[cfg(test)]
mod tests;
