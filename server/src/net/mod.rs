//! Listening, and the life of a client connection. `boot` starts one [`accept::serve`] per core.

pub mod accept;
pub mod conn;
pub mod drain;
pub mod linger;
pub mod outgoing;
pub mod port;
pub mod time;
