//! Every bound of one client connection. `boot` fills it from the configuration; `conn`, `call`
//! and `net` obey it.

use std::time::Duration;

use engine::limits::REQUEST_BYTES_DEFAULT;

/// What etcd adds to `--max-request-bytes` for the gRPC envelope, bytes.
pub const MESSAGE_OVERHEAD_BYTES: usize = 512 << 10;

/// Bounds of one connection. All sizes are bytes.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Largest message taken; etcd: `--max-request-bytes` plus [`MESSAGE_OVERHEAD_BYTES`].
    pub message_bytes_max: usize,
    /// Bytes of messages begun and not complete, over all calls of the connection.
    pub partial_bytes_max: usize,
    /// Calls open at once, as announced to the peer.
    pub streams_max: u32,
    /// Answer bytes queued on the connection before no further call of it is begun and its
    /// streams wait. One answer may pass it.
    pub queued_bytes_max: usize,
    /// Answer bytes queued on one stream before that stream waits. One message may pass it.
    pub stream_queued_bytes_max: usize,
    /// Largest header list of a request, decoded.
    pub header_bytes_max: u32,
    /// Receive window of one stream.
    pub stream_window_bytes: u32,
    /// Receive window of the connection: what a peer may send before it is read.
    pub window_bytes: u32,
    /// What small messages that were received and not looked at yet may cost beyond their bytes:
    /// 256 for each, less its length. Past it the connection is ended, so this has room for a
    /// stream's window full of the smallest: a client renews all its leases in one burst.
    pub small_messages_max: usize,
    /// Calls that a peer may cancel before they were looked at, in one burst.
    pub unseen_resets_max: usize,
    /// A connection that has not said what it speaks by then is closed.
    pub handshake_timeout: Duration,
    /// Silence after which the peer is asked whether it is there; `--grpc-keepalive-interval`.
    pub keepalive_interval: Duration,
    /// Time the peer has for that answer; `--grpc-keepalive-timeout`.
    pub keepalive_timeout: Duration,
    /// Time that open calls get to finish when the node drains.
    pub drain_timeout: Duration,
    /// Time a peer may take none of the bytes queued for it before it is given up.
    pub stalled_write_timeout: Duration,
}

impl Limits {
    /// The defaults for a given `--max-request-bytes`.
    pub fn for_request_bytes(request_bytes_max: usize) -> Self {
        Self {
            message_bytes_max: request_bytes_max.saturating_add(MESSAGE_OVERHEAD_BYTES),
            partial_bytes_max: 64 << 20,
            streams_max: 1 << 16,
            queued_bytes_max: 4 << 20,
            stream_queued_bytes_max: 256 << 10,
            header_bytes_max: 64 << 10,
            stream_window_bytes: 1 << 20,
            window_bytes: 4 << 20,
            small_messages_max: 32 << 20,
            unseen_resets_max: 1024,
            handshake_timeout: Duration::from_secs(10),
            keepalive_interval: Duration::from_secs(2 * 3600),
            keepalive_timeout: Duration::from_secs(20),
            drain_timeout: Duration::from_secs(5),
            stalled_write_timeout: Duration::from_secs(300),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::for_request_bytes(REQUEST_BYTES_DEFAULT)
    }
}
