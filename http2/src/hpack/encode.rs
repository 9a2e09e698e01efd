//! Header blocks to be sent.

use super::table::Table;
use super::{Field, TABLE_BYTES_DEFAULT, huffman, integer};

/// Writes one direction's header blocks.
#[derive(Debug)]
pub struct Encoder {
    table: Table,
    /// The smallest bound since the last block, to be told in the next.
    lowered: Option<usize>,
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            table: Table::new(TABLE_BYTES_DEFAULT),
            lowered: None,
        }
    }
}

impl Encoder {
    /// What the peer's settings allow. A larger table than the default is not made use of.
    pub fn set_table_max(&mut self, max: usize) {
        let max = max.min(TABLE_BYTES_DEFAULT);
        if max != self.table.max() {
            self.lowered = Some(self.lowered.map_or(max, |l| l.min(max)));
            self.table.resize(max);
        }
    }

    /// Begins a block.
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        if let Some(lowest) = self.lowered.take() {
            integer::write(out, 0x20, 5, lowest);
            if lowest != self.table.max() {
                integer::write(out, 0x20, 5, self.table.max());
            }
        }
    }

    /// Appends a field that will come again: the tables keep it.
    pub fn common(&mut self, field: Field<'_>, out: &mut Vec<u8>) {
        match self.table.find(field) {
            (Some(index), _) => integer::write(out, 0x80, 7, index),
            (None, name) => {
                self.literal(0x40, 6, name, field, out);
                self.table.insert(field);
            }
        }
    }

    /// Appends a field that is not worth a place in the tables.
    pub fn unique(&mut self, field: Field<'_>, out: &mut Vec<u8>) {
        match self.table.find(field) {
            (Some(index), _) => integer::write(out, 0x80, 7, index),
            (None, name) => self.literal(0x00, 4, name, field, out),
        }
    }

    fn literal(
        &self,
        first: u8,
        bits: u32,
        name: Option<usize>,
        field: Field<'_>,
        out: &mut Vec<u8>,
    ) {
        integer::write(out, first, bits, name.unwrap_or(0));
        if name.is_none() {
            text(field.name, out);
        }
        text(field.value, out);
    }
}

fn text(letters: &[u8], out: &mut Vec<u8>) {
    let coded = huffman::encoded_len(letters);
    if coded < letters.len() {
        integer::write(out, 0x80, 7, coded);
        huffman::encode(letters, out);
    } else {
        integer::write(out, 0x00, 7, letters.len());
        out.extend_from_slice(letters);
    }
}
