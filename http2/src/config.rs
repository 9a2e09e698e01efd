//! What one end of a connection tells the other at the beginning, and how much it puts up with.

/// Bounds of one connection. Sizes are bytes.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Receive window of each stream, at most 2^31 - 1.
    pub stream_window_bytes: u32,
    /// Receive window of the connection, 65,535 to 2^31 - 1.
    pub window_bytes: u32,
    /// Streams the peer may have open at once. 0 for a client: nobody opens streams to it.
    pub streams_max: u32,
    /// Largest header list that is looked at, each field counted with 32 bytes more.
    pub header_bytes_max: u32,
    /// Streams that the peer may cancel unanswered between two calls of
    /// [`Connection::begin_turn`](crate::Connection::begin_turn).
    pub resets_max: usize,
    /// Bytes of acknowledgements that may wait for a peer that does not read.
    pub control_bytes_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            stream_window_bytes: 1 << 20,
            window_bytes: 4 << 20,
            streams_max: 1 << 16,
            header_bytes_max: 64 << 10,
            resets_max: 1024,
            control_bytes_max: 256 << 10,
        }
    }
}
