//! HPACK's Huffman code (RFC 7541, appendix B).
//!
//! The code is canonical: codes of one length are consecutive numbers in the order of their
//! symbols, and a longer code continues where the shorter ones end. So the lengths alone say
//! everything, and all tables here are made from them when this is compiled.

use super::Malformed;

/// Bits of each symbol's code; the last is the end mark, which never stands in a text.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, //
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, //
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, //
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, //
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, //
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, //
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, //
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, //
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, //
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, //
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, //
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, //
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, //
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, //
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, //
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, //
    30,
];

const LENGTH_MAX: usize = 30;

/// Codes of up to this many bits are found by one look.
const LOOK_BITS: usize = 8;

struct Tables {
    /// Symbols in the order of their codes.
    symbols: [u16; 257],
    /// The first code of each length, and where its symbol stands.
    first: [u32; LENGTH_MAX + 2],
    offset: [u16; LENGTH_MAX + 2],
    codes: [u32; 257],
    /// By the next bits: symbol and length, length 0 if the code is longer.
    look: [(u8, u8); 1 << LOOK_BITS],
}

const fn tables() -> Tables {
    let mut t = Tables {
        symbols: [0; 257],
        first: [0; LENGTH_MAX + 2],
        offset: [0; LENGTH_MAX + 2],
        codes: [0; 257],
        look: [(0, 0); 1 << LOOK_BITS],
    };
    let mut code = 0u32;
    let mut at = 0;
    let mut len = 1;
    while len <= LENGTH_MAX {
        code <<= 1;
        t.first[len] = code;
        t.offset[len] = at as u16;
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] as usize == len {
                t.symbols[at] = symbol as u16;
                t.codes[symbol] = code;
                if len <= LOOK_BITS {
                    let shift = LOOK_BITS - len;
                    let mut i = 0;
                    while i < 1 << shift {
                        t.look[((code as usize) << shift) + i] = (symbol as u8, len as u8);
                        i += 1;
                    }
                }
                code += 1;
                at += 1;
            }
            symbol += 1;
        }
        len += 1;
    }
    t.first[LENGTH_MAX + 1] = u32::MAX;
    t.offset[LENGTH_MAX + 1] = at as u16;
    t
}

static TABLES: Tables = tables();

/// Appends the text that `input` encodes.
///
/// # Errors
/// [`Malformed`] for the end mark, or padding that is not the beginning of it.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let mut bits = 0u64;
    let mut have = 0usize;
    let mut input = input.iter();
    loop {
        while have <= 56
            && let Some(&byte) = input.next()
        {
            bits = bits << 8 | u64::from(byte);
            have += 8;
        }
        if have == 0 {
            return Ok(());
        }
        // The next bits, followed by ones: padding looks like this.
        let next = if have >= 32 {
            (bits >> (have - 32)) as u32
        } else {
            ((bits << (32 - have)) as u32) | (u32::MAX >> have)
        };
        let (symbol, len) = TABLES.look[(next >> (32 - LOOK_BITS)) as usize];
        let (symbol, len) = match len {
            0 => long(next),
            len => (u16::from(symbol), usize::from(len)),
        };
        if len > have {
            // Fewer than eight bits are left, and all of them are ones.
            let padding = have < 8 && bits & ((1 << have) - 1) == (1 << have) - 1;
            return if padding { Ok(()) } else { Err(Malformed) };
        }
        let symbol = u8::try_from(symbol).map_err(|_| Malformed)?;
        out.push(symbol);
        have -= len;
    }
}

/// The symbol that the highest bits of `next` say, where its code is long.
fn long(next: u32) -> (u16, usize) {
    let mut len = LOOK_BITS + 1;
    while len < LENGTH_MAX {
        let count = u32::from(TABLES.offset[len + 1] - TABLES.offset[len]);
        let code = next >> (32 - len);
        if code < TABLES.first[len] + count {
            break;
        }
        len += 1;
    }
    let code = next >> (32 - len);
    let at = u32::from(TABLES.offset[len]) + code.saturating_sub(TABLES.first[len]);
    (TABLES.symbols[(at as usize).min(256)], len)
}

/// Bytes that a text takes in the code.
pub(super) fn encoded_len(text: &[u8]) -> usize {
    let bits: usize = text
        .iter()
        .map(|b| usize::from(LENGTHS[usize::from(*b)]))
        .sum();
    bits.div_ceil(8)
}

/// Appends a text in the code.
pub(super) fn encode(text: &[u8], out: &mut Vec<u8>) {
    let mut bits = 0u64;
    let mut have = 0u32;
    for byte in text {
        let at = usize::from(*byte);
        bits = bits << LENGTHS[at] | u64::from(TABLES.codes[at]);
        have += u32::from(LENGTHS[at]);
        while have >= 8 {
            have -= 8;
            out.push((bits >> have) as u8);
        }
    }
    if have > 0 {
        out.push(((bits << (8 - have)) as u8) | (0xff >> have));
    }
}
