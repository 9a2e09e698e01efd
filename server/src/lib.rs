//! The Stoa node: runtime, network, gRPC, etcd's API.

pub mod runtime;
