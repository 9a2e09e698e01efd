//! Refusals get their names.
#![allow(clippy::unwrap_used)]

use super::port_free;
use crate::fatal::Exit;
use std::net::TcpListener;

#[test]
fn a_taken_port_is_named_and_a_free_one_passes() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let refused = port_free(address, "--listen-client-urls").unwrap_err();
    let expected = Exit::PortInUse {
        address: address.to_string(),
        flag: "--listen-client-urls",
    };
    assert_eq!(refused, expected);
    drop(listener);
    assert_eq!(port_free(address, "--listen-client-urls"), Ok(()));
    let nowhere = port_free("203.0.113.1:1".parse().unwrap(), "--listen-peer-urls").unwrap_err();
    assert_eq!(nowhere.code(), 16);
}
