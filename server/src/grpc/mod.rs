//! gRPC over our `http2` crate: what lies between a byte stream and the API services.
//!
//! `net` hands a connection that opened with HTTP/2's preface to [`conn::serve`]; that runs every
//! call of the connection inside the connection's own task and gives each to the [`Service`].
//!
//! How a burst is handled (one *turn* of a connection): all readable frames are taken, all calls
//! in them are started, each runs as far as it can, all answers are encoded, and one send goes
//! out. There is no task per call, and no flush per answer.
//!
//! Bounds: every growth that a peer can cause has a field in [`limits::Limits`].

pub mod conn;
pub mod counters;
pub mod health;
pub mod limits;
pub mod message;
pub mod metadata;
pub mod meter;
pub mod method;
pub mod service;
pub mod status;
pub mod stream;
pub mod wire;

mod call;
mod deadline;
mod link;

pub use counters::Counters;
pub use limits::Limits;
pub use message::Reply;
pub use metadata::Metadata;
pub use method::{Kind, Method};
pub use service::Service;
pub use status::{Code, Status};
pub use stream::{Inbound, Outbound};
