//! Reading a page of a server over plain HTTP/1.0, in which nothing comes in chunks. For the cases
//! that look at metrics, health and such.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a page may take.
const LIMIT: Duration = Duration::from_secs(20);

/// Status and body of the page at `path`.
///
/// # Errors
/// When the server cannot be reached or answers something else than HTTP.
pub fn page(addr: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(
        stream,
        "GET {path} HTTP/1.0\r\nHost: {addr}\r\nConnection: close\r\n\r\n"
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let other = || io::Error::other(format!("no answer of HTTP: {text:?}"));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(other)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((status.ok_or_else(other)?, body.to_owned()))
}
