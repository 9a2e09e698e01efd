//! A client and a server back to back, and a server that hears everything it should not.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;

use super::*;
use crate::frame::{Head, flag};

/// Writes down what happened.
#[derive(Debug, Default)]
struct Notes {
    opened: Vec<(u32, String)>,
    ended: Vec<u32>,
    reset: Vec<(u32, u32)>,
    moved: usize,
    /// Whether bytes are done with at once.
    keep: bool,
    bodies: HashMap<u32, Vec<u8>>,
    trailers: Vec<(u32, String)>,
}

impl Handler for Notes {
    type Stream = ();

    fn opened(&mut self, id: u32, fields: Fields<'_>, end: bool) -> Result<(), Code> {
        let path = fields.get(b":path").ok_or(Code::PROTOCOL_ERROR)?;
        self.opened
            .push((id, String::from_utf8_lossy(path).into_owned()));
        if end {
            self.ended.push(id);
        }
        Ok(())
    }

    fn headers(&mut self, id: u32, _: &mut (), fields: Fields<'_>, end: bool) -> Result<(), Code> {
        if end {
            self.ended.push(id);
            let status = fields.get(b"grpc-status").unwrap_or_default();
            self.trailers
                .push((id, String::from_utf8_lossy(status).into_owned()));
        }
        Ok(())
    }

    fn data(&mut self, id: u32, _: &mut (), data: &[u8], end: bool) -> Result<usize, Code> {
        self.bodies.entry(id).or_default().extend_from_slice(data);
        if end {
            self.ended.push(id);
        }
        Ok(if self.keep { 0 } else { data.len() })
    }

    fn reset(&mut self, id: u32, (): (), code: Code, _: usize) {
        self.reset.push((id, code.0));
    }

    fn moved(&mut self, _: u32, (): &mut (), bytes: usize) {
        self.moved += bytes;
    }
}

struct Side {
    h2: Connection<()>,
    notes: Notes,
}

impl Side {
    fn new(role: Role, config: Config) -> Self {
        Self {
            h2: Connection::new(role, config),
            notes: Notes::default(),
        }
    }

    fn take(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            self.h2.pump(&mut self.notes);
            let mut slices = [std::io::IoSlice::new(&[]); 8];
            let n = self.h2.output().slices(&mut slices);
            let before = all.len();
            slices[..n].iter().for_each(|s| all.extend_from_slice(s));
            let taken = all.len() - before;
            if taken == 0 {
                return all;
            }
            self.h2.sent(taken);
        }
    }

    fn hear(&mut self, bytes: &[u8], cut: usize) -> Result<(), Broken> {
        for piece in bytes.chunks(cut) {
            self.h2.receive(piece, &mut self.notes)?;
        }
        Ok(())
    }
}

/// Lets both talk until neither has anything to say.
fn settle(client: &mut Side, server: &mut Side, cut: usize) {
    loop {
        let there = client.take();
        server.hear(&there, cut).unwrap();
        let back = server.take();
        client.hear(&back, cut).unwrap();
        if there.is_empty() && back.is_empty() {
            return;
        }
    }
}

fn pair() -> (Side, Side) {
    let client = Side::new(Role::Client, Config::default());
    (client, Side::new(Role::Server, Config::default()))
}

fn open(client: &mut Side, path: &str, end: bool) -> u32 {
    let fields = |block: &mut Block<'_>| {
        block.common(b":method", b"POST");
        block.common(b":scheme", b"http");
        block.common(b":path", path.as_bytes());
        block.common(b":authority", b"http://any:text");
        block.common(b"te", b"trailers");
    };
    client.h2.open((), end, fields).unwrap()
}

fn answer(server: &mut Side, id: u32, body: Vec<u8>) {
    let head = |block: &mut Block<'_>| block.common(b":status", b"200");
    server.h2.headers_out(id, false, head).unwrap();
    server
        .h2
        .data_out(id, Bytes::from(body).into(), false)
        .unwrap();
    server
        .h2
        .trailers_out(id, &[(b"grpc-status", b"0", true)])
        .unwrap();
}

#[test]
fn calls_of_all_sizes_come_through_however_the_bytes_are_cut() {
    for cut in [1, 5, 9, 100, 16_393, usize::MAX] {
        let (mut client, mut server) = pair();
        let sizes = [0usize, 1, 100, 16_384, 16_385, 70_000, 300_000];
        let ids: Vec<u32> = sizes
            .iter()
            .map(|size| {
                let id = open(&mut client, &format!("/call/{size}"), false);
                client
                    .h2
                    .data_out(id, Bytes::from(vec![7; *size]).into(), true)
                    .unwrap();
                id
            })
            .collect();
        settle(&mut client, &mut server, cut);
        for (id, size) in ids.iter().zip(sizes) {
            let body = server.notes.bodies.remove(id).unwrap_or_default();
            assert_eq!(body.len(), size, "cut {cut}");
            answer(&mut server, *id, body);
        }
        settle(&mut client, &mut server, cut);
        for (id, size) in ids.iter().zip(sizes) {
            assert_eq!(
                client.notes.bodies.remove(id).unwrap_or_default(),
                vec![7; size]
            );
        }
        assert_eq!(client.notes.trailers.len(), sizes.len());
        assert_eq!((client.h2.open_streams(), server.h2.open_streams()), (0, 0));
        assert_eq!(client.notes.opened.len() + client.notes.reset.len(), 0);
    }
}

#[test]
fn nothing_is_sent_beyond_the_windows() {
    let (mut client, _) = pair();
    let config = Config {
        stream_window_bytes: 20_000,
        window_bytes: 65_535,
        ..Config::default()
    };
    let mut server = Side::new(Role::Server, config);
    server.notes.keep = true;
    let ids = [0; 5].map(|_| open(&mut client, "/big", false));
    settle(&mut client, &mut server, usize::MAX);
    for id in ids {
        client
            .h2
            .data_out(id, Bytes::from(vec![1; 30_000]).into(), true)
            .unwrap();
    }
    settle(&mut client, &mut server, usize::MAX);
    let got = |server: &Side| server.notes.bodies.values().map(Vec::len).sum::<usize>();
    assert_eq!(got(&server), 65_535, "the connection's window");
    assert_eq!(
        server.notes.bodies[&ids[0]].len(),
        20_000,
        "the stream's window"
    );
    assert_eq!(client.h2.queued(), 5 * 30_000 - 65_535);
    for _ in 0..20 {
        let bodies = std::mem::take(&mut server.notes.bodies);
        for (id, body) in bodies {
            server.h2.release(id, body.len());
        }
        settle(&mut client, &mut server, usize::MAX);
    }
    assert_eq!(client.h2.queued(), 0);
    assert_eq!(server.notes.ended.len(), 5);
    assert!(client.notes.moved > 0);
}

#[test]
fn streams_that_end_unread_give_back_the_connections_window() {
    let (mut client, mut server) = pair();
    server.notes.keep = true;
    // In all far more than the connection's window; nothing of it is ever released.
    for _ in 0..20 {
        for cancelled in [false, true] {
            let id = open(&mut client, "/call", false);
            let body = Bytes::from(vec![1; 500_000]);
            client.h2.data_out(id, body.into(), !cancelled).unwrap();
            settle(&mut client, &mut server, usize::MAX);
            assert_eq!(server.notes.bodies[&id].len(), 500_000);
            if cancelled {
                client.h2.reset_out(id, Code::CANCEL);
            } else {
                answer(&mut server, id, vec![]);
            }
            settle(&mut client, &mut server, usize::MAX);
            assert_eq!(server.h2.open_streams(), 0);
        }
    }
}

#[test]
fn a_changed_window_moves_the_streams_that_are_open() {
    let (mut client, mut server) = pair();
    let id = open(&mut client, "/call", true);
    settle(&mut client, &mut server, usize::MAX);
    // Down to 10 bytes and, in the end, to 100; then up.
    let window = |n: u32| [&[0, 4][..], &n.to_be_bytes()].concat();
    let down = frame(kind::SETTINGS, 0, 0, &[window(10), window(100)].concat());
    server.hear(&down, usize::MAX).unwrap();
    let head = |block: &mut Block<'_>| block.common(b":status", b"200");
    server.h2.headers_out(id, false, head).unwrap();
    let waits = server
        .h2
        .data_out(id, Bytes::from(vec![1; 1000]).into(), true);
    assert_eq!(waits, Ok(900));
    server
        .hear(&frame(kind::SETTINGS, 0, 0, &window(5000)), 3)
        .unwrap();
    settle(&mut client, &mut server, usize::MAX);
    assert_eq!(client.notes.bodies[&id].len(), 1000);
    assert_eq!(server.h2.open_streams(), 0);
}

#[test]
fn a_reset_reaches_the_other_side_and_late_frames_are_harmless() {
    let (mut client, mut server) = pair();
    let id = open(&mut client, "/call", false);
    settle(&mut client, &mut server, usize::MAX);
    // Both sides end it at once; each finds the other's frames late.
    assert!(client.h2.reset_out(id, Code::CANCEL).is_some());
    answer(&mut server, id, vec![1; 100]);
    settle(&mut client, &mut server, usize::MAX);
    assert!(client.notes.bodies.is_empty());
    assert_eq!((client.h2.open_streams(), server.h2.open_streams()), (0, 0));
    let id = open(&mut client, "/call", false);
    settle(&mut client, &mut server, usize::MAX);
    client.h2.reset_out(id, Code::CANCEL);
    settle(&mut client, &mut server, usize::MAX);
    assert_eq!(server.notes.reset, [(id, Code::CANCEL.0)]);
    assert!(server.h2.data_out(id, Bytes::new().into(), true).is_err());
}

#[test]
fn leave_is_taken_without_losing_calls_under_way() {
    let (mut client, mut server) = pair();
    let first = open(&mut client, "/first", true);
    settle(&mut client, &mut server, usize::MAX);
    server.h2.leave();
    // Opened before the client could know.
    let second = open(&mut client, "/second", true);
    settle(&mut client, &mut server, usize::MAX);
    assert_eq!(server.notes.opened.len(), 2);
    assert!(client.h2.is_peer_leaving());
    assert!(client.h2.open((), true, |_| {}).is_none());
    assert!(!server.h2.is_finished());
    answer(&mut server, first, vec![1]);
    answer(&mut server, second, vec![2]);
    settle(&mut client, &mut server, usize::MAX);
    assert!(server.h2.is_finished());
    assert_eq!(client.notes.trailers.len(), 2);
}

#[test]
fn header_lists_longer_than_a_frame_go_in_several() {
    let (mut client, mut server) = pair();
    let long = "x".repeat(40_000);
    let id = open(&mut client, &format!("/{long}"), true);
    settle(&mut client, &mut server, 1000);
    assert_eq!(server.notes.opened, [(id, format!("/{long}"))]);
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let head = Head {
        len: payload.len(),
        kind,
        flags,
        stream,
    };
    head.write(&mut out);
    out.extend_from_slice(payload);
    out
}

/// POST of `/a`, without Huffman.
const HEADERS: &[u8] = &[0x83, 0x86, 0x44, 2, b'/', b'a'];

/// What a server makes of frames after a good beginning: how the connection broke, or the codes
/// with which it reset streams.
fn hear(frames: &[Vec<u8>]) -> Result<Vec<u32>, Code> {
    let mut server = Side::new(Role::Server, Config::default());
    server.hear(PREFACE, 24).unwrap();
    server.hear(&frame(kind::SETTINGS, 0, 0, &[]), 9).unwrap();
    server.take();
    for frame in frames {
        server
            .hear(frame, usize::MAX)
            .map_err(|broken| broken.code)?;
    }
    let said = server.take();
    let mut resets = Vec::new();
    let mut rest = &said[..];
    while let Some(head) = Head::read(rest) {
        let payload = &rest[9..9 + head.len];
        if head.kind == kind::RST_STREAM {
            resets.push(u32::from_be_bytes(payload.try_into().unwrap()));
        }
        rest = &rest[9 + head.len..];
    }
    Ok(resets)
}

/// A name, frames, and what comes of them.
type Case = (&'static str, Vec<Vec<u8>>, Result<Vec<u32>, Code>);

#[test]
fn what_breaks_the_protocol_is_named_by_its_code() {
    use kind::{
        CONTINUATION, DATA, PING, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    };
    let open = |id| frame(HEADERS_KIND, flag::END_HEADERS, id, HEADERS);
    const HEADERS_KIND: u8 = kind::HEADERS;
    let protocol = Err(Code::PROTOCOL_ERROR);
    let size = Err(Code::FRAME_SIZE_ERROR);
    let flow = Err(Code::FLOW_CONTROL_ERROR);
    let cases: Vec<Case> = vec![
        (
            "data before headers",
            vec![frame(DATA, 0, 1, b"x")],
            protocol.clone(),
        ),
        ("an even stream", vec![open(2)], protocol.clone()),
        ("stream 0", vec![open(0)], protocol.clone()),
        (
            "continuation of nothing",
            vec![frame(CONTINUATION, 4, 1, b"")],
            protocol.clone(),
        ),
        (
            "an interrupted list",
            vec![
                frame(HEADERS_KIND, 0, 1, HEADERS),
                frame(PING, 0, 0, &[0; 8]),
            ],
            protocol.clone(),
        ),
        (
            "a push",
            vec![frame(PUSH_PROMISE, 4, 1, &[0; 8])],
            protocol.clone(),
        ),
        (
            "padding only",
            vec![open(1), frame(DATA, flag::PADDED, 1, &[5, 1])],
            protocol.clone(),
        ),
        (
            "an unread list",
            vec![frame(HEADERS_KIND, 4, 1, &[0xbe])],
            Err(Code::COMPRESSION_ERROR),
        ),
        (
            "half a setting",
            vec![frame(SETTINGS, 0, 0, &[1, 2, 3])],
            size.clone(),
        ),
        (
            "an answer with settings",
            vec![frame(SETTINGS, 1, 0, &[0; 6])],
            size.clone(),
        ),
        (
            "settings of a stream",
            vec![frame(SETTINGS, 0, 1, &[])],
            protocol.clone(),
        ),
        (
            "push 2",
            vec![frame(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 2])],
            protocol.clone(),
        ),
        (
            "window",
            vec![frame(SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0])],
            flow.clone(),
        ),
        (
            "frame size",
            vec![frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0, 1])],
            protocol.clone(),
        ),
        (
            "a short ping",
            vec![frame(PING, 0, 0, &[0; 7])],
            size.clone(),
        ),
        (
            "a ping of a stream",
            vec![frame(PING, 0, 1, &[0; 8])],
            protocol.clone(),
        ),
        (
            "a window of 0",
            vec![frame(WINDOW_UPDATE, 0, 0, &[0; 4])],
            protocol.clone(),
        ),
        (
            "too much window",
            vec![frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])],
            flow.clone(),
        ),
        (
            "a short reset",
            vec![open(1), frame(RST_STREAM, 0, 1, &[0])],
            size.clone(),
        ),
        (
            "a reset of nothing",
            vec![frame(RST_STREAM, 0, 9, &[0; 4])],
            protocol.clone(),
        ),
        (
            "a large frame",
            vec![frame(DATA, 0, 1, &[0; 16_385])],
            size.clone(),
        ),
        (
            "an unknown kind",
            vec![frame(77, 0xff, 3, b"whatever"), open(1)],
            Ok(vec![]),
        ),
        (
            "priority",
            vec![frame(PRIORITY, 0, 1, &[0; 5]), open(1)],
            Ok(vec![]),
        ),
        // These end one stream alone.
        (
            "a stream's window of 0",
            vec![open(1), frame(WINDOW_UPDATE, 0, 1, &[0; 4])],
            Ok(vec![1]),
        ),
        (
            "data after the end",
            vec![frame(HEADERS_KIND, 5, 1, HEADERS), frame(DATA, 0, 1, b"x")],
            Ok(vec![Code::STREAM_CLOSED.0]),
        ),
        (
            "headers in the middle",
            vec![open(1), open(1)],
            Ok(vec![Code::PROTOCOL_ERROR.0]),
        ),
        (
            "no path",
            vec![frame(HEADERS_KIND, 4, 1, &[0x83, 0x86])],
            Ok(vec![1]),
        ),
        (
            "an old stream",
            vec![open(5), open(3)],
            Ok(vec![Code::STREAM_CLOSED.0]),
        ),
    ];
    for (name, frames, want) in cases {
        assert_eq!(hear(&frames), want, "{name}");
    }
}

#[test]
fn floods_end_the_connection() {
    let calm = Err(Code::ENHANCE_YOUR_CALM);
    let pings: Vec<_> = (0..20_000)
        .map(|_| frame(kind::PING, 0, 0, &[0; 8]))
        .collect();
    assert_eq!(hear(&pings), calm, "pings whose echoes are not read");
    let rapid: Vec<_> = (0..2000u32)
        .flat_map(|n| {
            let open = frame(kind::HEADERS, flag::END_HEADERS, n * 2 + 1, HEADERS);
            [open, frame(kind::RST_STREAM, 0, n * 2 + 1, &[0, 0, 0, 8])]
        })
        .collect();
    assert_eq!(hear(&rapid), calm, "streams opened and cancelled");
    let mut endless = vec![frame(kind::HEADERS, 0, 1, HEADERS)];
    endless.extend((0..1000).map(|_| frame(kind::CONTINUATION, 0, 1, b"")));
    assert_eq!(hear(&endless), calm, "a header list of empty frames");
    let mut large = vec![frame(kind::HEADERS, 0, 1, HEADERS)];
    large.extend((0..10).map(|_| frame(kind::CONTINUATION, 0, 1, &[0x88; 16_384])));
    assert_eq!(hear(&large), calm, "a header list without an end");
}

#[test]
fn streams_above_the_bound_are_refused_and_may_be_tried_again() {
    let mut server = Side::new(
        Role::Server,
        Config {
            streams_max: 2,
            ..Config::default()
        },
    );
    let mut client = Side::new(Role::Client, Config::default());
    // Before the client has read the bound.
    let ids = [0; 3].map(|_| open(&mut client, "/a", true));
    settle(&mut client, &mut server, usize::MAX);
    assert_eq!(client.notes.reset, [(ids[2], Code::REFUSED_STREAM.0)]);
    assert!(client.h2.open((), true, |_| {}).is_none(), "now it knows");
    answer(&mut server, ids[0], vec![]);
    settle(&mut client, &mut server, usize::MAX);
    open(&mut client, "/a", true);
}

#[test]
fn mutated_connections_never_panic() {
    let (mut client, _) = pair();
    for n in 0..5 {
        let id = open(&mut client, "/etcdserverpb.KV/Put", false);
        client
            .h2
            .data_out(id, Bytes::from(vec![n; 50]).into(), n % 2 == 0)
            .unwrap();
    }
    let good = client.take();
    let mut dice = crate::dice::Dice(3);
    let (mut broken, mut served) = (0, 0);
    for _ in 0..20_000 {
        let mut bytes = good.clone();
        for _ in 0..=dice.below(3) {
            let at = PREFACE.len() + dice.below(bytes.len() - PREFACE.len());
            match dice.below(4) {
                0 => bytes[at] = dice.below(256) as u8,
                1 => bytes[at] ^= 1 << dice.below(8),
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, dice.below(256) as u8),
            }
            bytes.truncate(bytes.len().max(PREFACE.len() + 10));
        }
        let mut server = Side::new(Role::Server, Config::default());
        let cut = 1 + dice.below(200);
        match server.hear(&bytes, cut) {
            Ok(()) => served += 1,
            Err(_) => broken += 1,
        }
        server.take();
        assert!(server.h2.open_streams() <= 6);
    }
    assert!(broken > 500 && served > 500, "{broken} {served}");
}
