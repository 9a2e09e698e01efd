//! Lets old Go clients in that name the server by its whole URL: etcd's client 3.4 sends
//! `:authority: http://host:port` where it dials one endpoint (status, defragment, snapshot). Go's
//! servers take any text there; `h2` takes none but an authority and resets the call. `conn` runs
//! what a connection receives through this.
//!
//! The first letters of the value are replaced in the bytes: `http://` by `httpB--`, which has the
//! same length in HPACK's code, so nothing else moves. The value itself is read by nobody.

/// Length of HTTP/2's preface.
const PREFACE_BYTES: usize = 24;

/// Length of a frame's header.
const HEADER_BYTES: usize = 9;

/// Type of a HEADERS frame.
const HEADERS: u8 = 1;

/// `:authority` as a literal that is added to the table, as Go sends it.
const NAME: u8 = 0x41;

/// The bit that says that a text is Huffman coded.
const HUFFMAN: u8 = 0x80;

/// `http://` in HPACK's code, without its last bit, which is 0.
const FOUND: [u8; 5] = [0x9d, 0x29, 0xae, 0xe3, 0x0c];

/// `httpB--` in HPACK's code; the last bit is 0 here, too.
const INSTEAD: [u8; 5] = [0x9d, 0x29, 0xae, 0xea, 0xcb];

/// Follows the frames of one connection.
#[derive(Debug)]
pub(super) struct Authority {
    at: At,
    /// Whether there is anything to look for. A client that sends no URL in its first call never
    /// does, and is then followed no more.
    active: bool,
    found: bool,
}

#[derive(Debug)]
enum At {
    /// Inside the preface or a frame of no interest; bytes left.
    Skip(usize),
    /// Inside a frame's header; what of it was read.
    Header([u8; HEADER_BYTES], usize),
    /// Inside a HEADERS frame; bytes left.
    Headers(usize),
}

impl Authority {
    /// At the first byte of a connection.
    pub(super) fn new() -> Self {
        Self {
            at: At::Skip(PREFACE_BYTES),
            active: true,
            found: false,
        }
    }

    /// Passes over bytes that were received, in order. A value cut in two by the network stays
    /// as it is: the call is refused, as it would be without this.
    pub(super) fn pass(&mut self, mut bytes: &mut [u8]) {
        while self.active && !bytes.is_empty() {
            let taken = match &mut self.at {
                At::Skip(left) | At::Headers(left) => bytes.len().min(*left),
                At::Header(_, have) => bytes.len().min(HEADER_BYTES - *have),
            };
            let (now, rest) = bytes.split_at_mut(taken);
            bytes = rest;
            self.take(now);
        }
    }

    fn take(&mut self, now: &mut [u8]) {
        let fresh = At::Header([0; HEADER_BYTES], 0);
        match &mut self.at {
            At::Skip(left) => {
                *left -= now.len();
                if *left == 0 {
                    self.at = fresh;
                }
            }
            At::Header(header, have) => {
                header[*have..*have + now.len()].copy_from_slice(now);
                *have += now.len();
                if *have == HEADER_BYTES {
                    let len = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
                    self.at = match (len, header[3]) {
                        (0, _) => fresh,
                        (_, HEADERS) => At::Headers(len),
                        _ => At::Skip(len),
                    };
                }
            }
            At::Headers(left) => {
                *left -= now.len();
                let ends = *left == 0;
                self.found |= replace(now);
                if ends {
                    self.at = fresh;
                    self.active = self.found;
                }
            }
        }
    }
}

/// Replaces the beginning of a URL in a block of headers; whether there was one.
fn replace(block: &mut [u8]) -> bool {
    const VALUE: usize = 2;
    const LAST: usize = VALUE + FOUND.len();
    let is_url = |at: &[u8]| {
        at[0] == NAME && at[1] & HUFFMAN != 0 && at[VALUE..LAST] == FOUND && at[LAST] & 0x80 == 0
    };
    let Some(at) = block.windows(LAST + 1).position(is_url) else {
        return false;
    };
    block[at + VALUE..at + LAST].copy_from_slice(&INSTEAD);
    true
}

#[cfg(test)]
mod tests;
