//! etcd's v3 messages. The server's API layer, the load generator and the tests use them.
//!
//! The `.proto` files in `protos/` are written for this project: names and numbers of fields
//! are etcd's (level 3.7), order and comments are ours. `bytes` fields are [`bytes::Bytes`], so
//! decoding from a `Bytes` copies no key and no value.

macro_rules! generated {
    ($(#[$doc:meta])* $module:ident, $file:literal) => {
        $(#[$doc])*
        #[allow(missing_docs, clippy::all)]
        pub mod $module {
            include!(concat!(env!("OUT_DIR"), "/", $file));
        }
    };
}

generated!(
    /// Keys, values and changes.
    mvccpb,
    "mvccpb.rs"
);
generated!(
    /// Users, roles and permissions.
    authpb,
    "authpb.rs"
);
generated!(
    /// KV, Watch, Lease, Cluster, Maintenance and Auth.
    etcdserverpb,
    "etcdserverpb.rs"
);
generated!(
    /// Elections.
    v3electionpb,
    "v3electionpb.rs"
);
generated!(
    /// Locks.
    v3lockpb,
    "v3lockpb.rs"
);

/// The common gRPC services.
pub mod grpc {
    /// Health checking.
    pub mod health {
        generated!(
            /// Its only version.
            v1,
            "grpc.health.v1.rs"
        );
    }
}

/// Every RPC in the files: path, whether the client streams, whether the server streams.
pub const METHODS: &[(&str, bool, bool)] = include!(concat!(env!("OUT_DIR"), "/methods.rs"));

/// The files themselves, as a `FileDescriptorSet`: for those who handle messages by name.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

#[cfg(test)]
mod tests;
