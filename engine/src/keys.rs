//! Ranges of keys by etcd's conventions, used by every request.

use bytes::Bytes;

/// The keys a request names.
///
/// On the wire (`key`, `range_end`): an empty end is the single key; an end of one zero byte is
/// everything from the key upward; otherwise the half-open interval, which is empty where the
/// end is not above the key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeyRange {
    /// One key.
    One(Bytes),
    /// From the first, inclusive, to the second, exclusive.
    Span(Bytes, Bytes),
    /// From the key upward, without an end.
    From(Bytes),
}

impl KeyRange {
    /// The range that (`key`, `range_end`) mean on etcd's wire.
    pub fn from_wire(key: Bytes, range_end: Bytes) -> Self {
        match range_end.as_ref() {
            [] => Self::One(key),
            [0] => Self::From(key),
            _ => Self::Span(key, range_end),
        }
    }

    /// The lowest key that can be inside.
    pub fn start(&self) -> &Bytes {
        match self {
            Self::One(key) | Self::Span(key, _) | Self::From(key) => key,
        }
    }

    /// The first key above the range, where it is a span with an end.
    pub fn end(&self) -> Option<&Bytes> {
        match self {
            Self::Span(_, end) => Some(end),
            Self::One(_) | Self::From(_) => None,
        }
    }

    /// Whether `key` is inside.
    pub fn contains(&self, key: &[u8]) -> bool {
        match self {
            Self::One(one) => one.as_ref() == key,
            Self::Span(start, end) => start.as_ref() <= key && key < end.as_ref(),
            Self::From(start) => start.as_ref() <= key,
        }
    }

    /// Whether `key` lies above every key of the range.
    pub fn is_above(&self, key: &[u8]) -> bool {
        match self {
            Self::One(one) => key > one.as_ref(),
            Self::Span(_, end) => key >= end.as_ref(),
            Self::From(_) => false,
        }
    }

    /// Whether no key can be inside.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Span(start, end) if end <= start)
    }
}
