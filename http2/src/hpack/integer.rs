//! Integers with a prefix (RFC 7541, section 5.1).

use super::Malformed;

/// Largest integer that is read: nothing in a header block is longer.
const MAX: usize = (1 << 24) - 1;

/// Reads an integer whose first byte holds `bits` bits of it; takes it off `input`.
pub(super) fn read(input: &mut &[u8], bits: u32) -> Result<usize, Malformed> {
    let (&first, mut rest) = input.split_first().ok_or(Malformed)?;
    let mask = (1usize << bits) - 1;
    let mut value = usize::from(first) & mask;
    if value == mask {
        let mut shift = 0;
        loop {
            let (&byte, after) = rest.split_first().ok_or(Malformed)?;
            rest = after;
            value += usize::from(byte & 0x7f) << shift;
            if value > MAX {
                return Err(Malformed);
            }
            if byte & 0x80 == 0 {
                break;
            }
            shift += 7;
            // Zeros may follow for ever otherwise.
            if shift > 21 {
                return Err(Malformed);
            }
        }
    }
    *input = rest;
    Ok(value)
}

/// Appends an integer below the bits of `first` that the prefix does not use.
pub(super) fn write(out: &mut Vec<u8>, first: u8, bits: u32, mut value: usize) {
    let mask = (1usize << bits) - 1;
    if value < mask {
        out.push(first | value as u8);
        return;
    }
    out.push(first | mask as u8);
    value -= mask;
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
