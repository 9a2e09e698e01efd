//! The tables of fields that an index names: 61 that never change, then those that were sent.

use std::collections::VecDeque;

use super::{FIELD_OVERHEAD_BYTES, Field};

/// RFC 7541, appendix A; the first has index 1.
pub(super) static STATIC: [(&[u8], &[u8]); 61] = [
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
];

#[derive(Debug)]
struct Entry {
    /// Name and value.
    letters: Box<[u8]>,
    name_len: usize,
}

impl Entry {
    fn field(&self) -> Field<'_> {
        let (name, value) = self.letters.split_at(self.name_len);
        Field { name, value }
    }

    fn size(&self) -> usize {
        self.letters.len() + FIELD_OVERHEAD_BYTES
    }
}

/// The fields that were sent and are kept, newest first.
#[derive(Debug)]
pub(super) struct Table {
    entries: VecDeque<Entry>,
    size: usize,
    max: usize,
}

impl Table {
    pub fn new(max: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            size: 0,
            max,
        }
    }

    pub fn max(&self) -> usize {
        self.max
    }

    /// Sets the bound and drops what is over it.
    pub fn resize(&mut self, max: usize) {
        self.max = max;
        self.evict(0);
    }

    /// The field of an index.
    pub fn get(&self, index: usize) -> Option<Field<'_>> {
        let at = index.checked_sub(1)?;
        match STATIC.get(at) {
            Some((name, value)) => Some(Field { name, value }),
            None => self.entries.get(at - STATIC.len()).map(Entry::field),
        }
    }

    /// Keeps a field; one that is larger than the table empties it.
    pub fn insert(&mut self, field: Field<'_>) {
        let size = field.name.len() + field.value.len() + FIELD_OVERHEAD_BYTES;
        self.evict(size);
        if size > self.max {
            return;
        }
        let letters = [field.name, field.value].concat().into_boxed_slice();
        self.entries.push_front(Entry {
            letters,
            name_len: field.name.len(),
        });
        self.size += size;
    }

    /// The index of a field, or else of its name alone.
    pub fn find(&self, field: Field<'_>) -> (Option<usize>, Option<usize>) {
        let mut name_at = None;
        let dynamic = self.entries.iter().map(Entry::field);
        for (at, entry) in dynamic.enumerate() {
            if entry.name == field.name {
                let at = at + STATIC.len() + 1;
                if entry.value == field.value {
                    return (Some(at), Some(at));
                }
                name_at.get_or_insert(at);
            }
        }
        for (at, (name, value)) in STATIC.iter().enumerate() {
            if *name == field.name {
                if *value == field.value {
                    return (Some(at + 1), Some(at + 1));
                }
                name_at.get_or_insert(at + 1);
            }
        }
        (None, name_at)
    }

    fn evict(&mut self, room_for: usize) {
        while self.size + room_for > self.max
            && let Some(oldest) = self.entries.pop_back()
        {
            self.size -= oldest.size();
        }
    }
}
