//! A decoded header list: all letters in one buffer that is used again for the next list.

use std::ops::Range;

/// One field of a header list. Names are lower-case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Pseudo-headers begin with a colon.
    pub name: &'a [u8],
    /// Any bytes but NUL, CR and LF.
    pub value: &'a [u8],
}

impl<'a> Field<'a> {
    /// A field.
    #[must_use]
    pub const fn new(name: &'a [u8], value: &'a [u8]) -> Self {
        Self { name, value }
    }
}

/// A decoded header list.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a>(pub(crate) &'a List);

impl<'a> Fields<'a> {
    /// The fields, in order.
    pub fn iter(self) -> impl Iterator<Item = Field<'a>> {
        let list = self.0;
        list.spans.iter().map(|(name, value)| Field {
            name: &list.bytes[name.start as usize..name.end as usize],
            value: &list.bytes[value.start as usize..value.end as usize],
        })
    }

    /// The first value of a name.
    #[must_use]
    pub fn get(self, name: &[u8]) -> Option<&'a [u8]> {
        self.iter().find(|f| f.name == name).map(|f| f.value)
    }

    /// Whether the list was larger than allowed; the fields that came later are missing then.
    #[must_use]
    pub fn is_too_large(self) -> bool {
        self.0.too_large
    }

    /// Whether the list is well-formed as HTTP/2 asks for it: names lower-case, pseudo-headers
    /// first, no field that belongs to the connection.
    #[must_use]
    pub fn is_well_formed(self) -> bool {
        let mut regular = false;
        self.iter().all(|field| {
            let name = match field.name.split_first() {
                None => return false,
                Some((b':', rest)) if !regular => rest,
                Some((b':', _)) => return false,
                Some(_) => {
                    regular = true;
                    field.name
                }
            };
            name.iter().all(|b| is_name_byte(*b))
                && !field.value.iter().any(|b| matches!(b, 0 | b'\r' | b'\n'))
                && !belongs_to_connection(field)
        })
    }
}

fn belongs_to_connection(field: Field<'_>) -> bool {
    match field.name {
        b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" => {
            true
        }
        b"te" => field.value != b"trailers",
        _ => false,
    }
}

/// What RFC 9110 calls a token, without capitals.
fn is_name_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*'
        | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

/// The storage of [`Fields`].
#[derive(Debug, Default)]
pub struct List {
    pub(super) bytes: Vec<u8>,
    spans: Vec<(Range<u32>, Range<u32>)>,
    /// As HTTP/2 counts a list.
    size: usize,
    max: usize,
    too_large: bool,
}

/// Letters that the buffer of a list may keep for the next one.
const KEEP_BYTES: usize = 8 << 10;

impl List {
    /// Empties the list; the next may have `max` bytes.
    pub(super) fn begin(&mut self, max: usize) {
        if self.bytes.capacity() > KEEP_BYTES {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
        self.spans.clear();
        (self.size, self.max, self.too_large) = (0, max, false);
    }

    /// Takes what was appended to `bytes` from `start` on, its first `name_len` bytes the name, as
    /// a field.
    pub(super) fn end_field(&mut self, start: usize, name_len: usize) {
        let end = self.bytes.len();
        self.size += end - start + super::FIELD_OVERHEAD_BYTES;
        if self.size > self.max {
            self.too_large = true;
            self.bytes.truncate(start);
            return;
        }
        let split = (start + name_len) as u32;
        self.spans.push((start as u32..split, split..end as u32));
    }

    /// The fields.
    #[must_use]
    pub fn fields(&self) -> Fields<'_> {
        Fields(self)
    }
}
