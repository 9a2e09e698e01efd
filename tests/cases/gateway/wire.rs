//! A plain HTTP/1.1 client with websockets, over blocking sockets: what comes is seen as it is.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(150);

/// A connection.
pub struct Http(BufReader<TcpStream>, String);

/// The head of an answer.
#[derive(Debug)]
pub struct Head {
    pub status: u16,
    headers: Vec<(String, String)>,
}

impl Head {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }
}

impl Http {
    pub fn connect(addr: SocketAddr) -> Http {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        Http(BufReader::new(stream), String::new())
    }

    pub fn send(&mut self, method: &str, path: &str, headers: &str, body: &str) {
        self.1 = format!("{method} {path}");
        let len = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}");
        let wire = format!("{head}Content-Length: {len}\r\n\r\n{body}");
        self.0.get_mut().write_all(wire.as_bytes()).unwrap();
    }

    /// Sends bytes as they are.
    pub fn raw(&mut self, wire: &str) {
        self.1 = wire.lines().next().unwrap_or_default().to_owned();
        self.0.get_mut().write_all(wire.as_bytes()).unwrap();
    }

    pub fn head(&mut self) -> Head {
        let status = self.line();
        let status = status.split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(':') else {
                return Head { status, headers };
            };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// A line without its end.
    fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.0.read_line(&mut line);
        assert!(read.is_ok(), "{}: {read:?}", self.1);
        line.trim_end().to_owned()
    }

    /// The next chunk of a body that comes in chunks; none at its end.
    pub fn chunk(&mut self) -> Option<String> {
        let len = usize::from_str_radix(&self.line(), 16).unwrap();
        let mut chunk = vec![0; len];
        self.0.read_exact(&mut chunk).unwrap();
        self.line();
        (len > 0).then(|| String::from_utf8(chunk).unwrap())
    }

    pub fn body(&mut self, head: &Head) -> String {
        if head.header("transfer-encoding") == Some("chunked") {
            return std::iter::from_fn(|| self.chunk()).collect();
        }
        let len = head.header("content-length").unwrap().parse().unwrap();
        let mut body = vec![0; len];
        self.0.read_exact(&mut body).unwrap();
        String::from_utf8(body).unwrap()
    }

    pub fn post(&mut self, path: &str, body: &str) -> (Head, String) {
        self.send("POST", path, "", body);
        let head = self.head();
        let body = self.body(&head);
        (head, body)
    }

    /// Opens a websocket.
    pub fn upgrade(&mut self, path: &str) -> Head {
        let headers = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        self.send("GET", path, headers, "");
        self.head()
    }

    /// Sends a frame of less than 126 bytes with a mask of zeros.
    pub fn frame(&mut self, kind: u8, content: &str) {
        let len = u8::try_from(content.len()).unwrap();
        assert!(len < 126, "a short frame");
        let head = [0x80 | kind, 0x80 | len, 0, 0, 0, 0];
        let wire = [&head, content.as_bytes()].concat();
        self.0.get_mut().write_all(&wire).unwrap();
    }

    /// The next frame: its kind and content; none at the connection's end.
    pub fn next_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).ok()?;
        let mut len = u64::from(head[1]);
        if len == 126 {
            let mut long = [0; 2];
            self.0.read_exact(&mut long).ok()?;
            len = u16::from_be_bytes(long).into();
        }
        let mut content = vec![0; usize::try_from(len).unwrap()];
        self.0.read_exact(&mut content).ok()?;
        Some((head[0] & 0x0f, content))
    }

    pub fn next_text(&mut self) -> Value {
        let (kind, content) = self.next_frame().expect("a frame comes");
        assert_eq!(kind, 1, "{content:?}");
        serde_json::from_slice(&content).unwrap()
    }
}
