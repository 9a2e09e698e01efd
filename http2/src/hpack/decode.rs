//! Header blocks as they arrive.

use super::fields::List;
use super::table::Table;
use super::{Malformed, TABLE_BYTES_DEFAULT, huffman, integer};

/// Reads one direction's header blocks.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            table: Table::new(TABLE_BYTES_DEFAULT),
        }
    }
}

impl Decoder {
    /// Reads a whole block into `list`, of which it takes up to `list_max` bytes. A list that is
    /// larger is read to its end, since the table depends on it, and marked.
    ///
    /// # Errors
    /// [`Malformed`]: the connection is of no use any more.
    pub fn decode(
        &mut self,
        mut block: &[u8],
        list: &mut List,
        list_max: usize,
    ) -> Result<(), Malformed> {
        list.begin(list_max);
        let mut begun = false;
        while let Some(&first) = block.first() {
            match first {
                0x80.. => {
                    let index = integer::read(&mut block, 7)?;
                    let field = self.table.get(index).ok_or(Malformed)?;
                    let start = list.bytes.len();
                    list.bytes.extend_from_slice(field.name);
                    list.bytes.extend_from_slice(field.value);
                    list.end_field(start, field.name.len());
                }
                0x20..0x40 if begun => return Err(Malformed),
                0x20..0x40 => {
                    let max = integer::read(&mut block, 5)?;
                    if max > TABLE_BYTES_DEFAULT {
                        return Err(Malformed);
                    }
                    self.table.resize(max);
                    continue;
                }
                0x40..0x80 => self.literal(&mut block, list, 6, true)?,
                _ => self.literal(&mut block, list, 4, false)?,
            }
            begun = true;
        }
        Ok(())
    }

    fn literal(
        &mut self,
        block: &mut &[u8],
        list: &mut List,
        bits: u32,
        keep: bool,
    ) -> Result<(), Malformed> {
        let start = list.bytes.len();
        match integer::read(block, bits)? {
            0 => text(block, &mut list.bytes)?,
            index => {
                let field = self.table.get(index).ok_or(Malformed)?;
                list.bytes.extend_from_slice(field.name);
            }
        }
        let name_len = list.bytes.len() - start;
        text(block, &mut list.bytes)?;
        if keep {
            let (name, value) = list.bytes[start..].split_at(name_len);
            self.table.insert(super::Field { name, value });
        }
        list.end_field(start, name_len);
        Ok(())
    }
}

/// Appends a text that stands at the beginning of `block`.
fn text(block: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let coded = block.first().is_some_and(|b| b & 0x80 != 0);
    let len = integer::read(block, 7)?;
    let (letters, rest) = block.split_at_checked(len).ok_or(Malformed)?;
    *block = rest;
    if coded {
        huffman::decode(letters, out)
    } else {
        out.extend_from_slice(letters);
        Ok(())
    }
}
