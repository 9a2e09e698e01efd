//! A port in use is told from a free one.
#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn a_listening_port_is_in_use_and_a_free_one_is_named() {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let free = check(any).unwrap();
    assert_ne!(free.port(), 0);

    let held = TcpListener::bind(any).unwrap();
    let addr = held.local_addr().unwrap();
    let error = check(addr).unwrap_err();
    assert!(matches!(error, PortError::PortInUse { addr: a } if a == addr));
    assert!(error.to_string().contains(&addr.to_string()));
}

#[test]
fn a_foreign_address_is_another_error() {
    let error = check("192.0.2.1:0".parse().unwrap()).unwrap_err();
    assert!(matches!(error, PortError::Bind { .. }), "{error}");
}
