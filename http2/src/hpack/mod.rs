//! HPACK (RFC 7541): header lists as compressed bytes. [`Decoder`] and [`Encoder`] each keep one
//! direction's table of one connection.

mod decode;
mod encode;
mod fields;
mod huffman;
mod integer;
mod table;

pub use decode::Decoder;
pub use encode::Encoder;
pub use fields::{Field, Fields, List};

/// Bytes of a table unless settings say otherwise.
pub const TABLE_BYTES_DEFAULT: usize = 4096;

/// What each field costs beside its letters, in tables and in lists.
pub(crate) const FIELD_OVERHEAD_BYTES: usize = 32;

/// A header block that cannot be read: the tables of both ends have come apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

#[cfg(test)]
mod tests;
