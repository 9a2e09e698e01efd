//! The table against the `.proto` files, and the words for what is not in it.
#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn the_table_is_exactly_what_the_proto_files_say() {
    assert_eq!(Method::ALL.len(), proto::METHODS.len());
    for &(path, client_streams, server_streams) in proto::METHODS {
        let method = Method::from_path(path).unwrap_or_else(|| panic!("{path} is missing"));
        let kind = match (client_streams, server_streams) {
            (false, false) => Kind::Unary,
            (false, true) => Kind::ServerStream,
            (true, true) => Kind::Bidi,
            (true, false) => panic!("{path}: etcd has no such kind"),
        };
        assert_eq!(method.kind(), kind, "{path}");
        assert_eq!(format!("/{}/{}", method.service(), method.name()), path);
    }
}

#[test]
fn discriminants_index_the_list() {
    for (i, method) in Method::ALL.iter().enumerate() {
        assert_eq!(*method as usize, i);
    }
}

#[test]
fn unknown_paths_get_grpc_gos_words() {
    assert_eq!(Method::unknown("/a.B/C"), "unknown service a.B");
    assert_eq!(
        Method::unknown("/etcdserverpb.KV/Nope"),
        "unknown method Nope for service etcdserverpb.KV"
    );
    assert_eq!(Method::unknown("/x"), "malformed method name: \"/x\"");
    assert_eq!(Method::from_path("/etcdserverpb.KV/range"), None);
}
