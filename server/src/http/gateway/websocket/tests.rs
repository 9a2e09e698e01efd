//! Frames as clients send them, whole and broken.
#![allow(clippy::unwrap_used)]

use super::*;

fn masked(first: u8, content: &[u8]) -> Vec<u8> {
    let mask = [1u8, 2, 3, 4];
    let mut out = frame(0, content);
    out[0] = first;
    out[1] |= 0x80;
    let head = out.len() - content.len();
    out.truncate(head);
    out.extend_from_slice(&mask);
    out.extend(content.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
    out
}

fn read(max: usize, wire: &[u8]) -> (Vec<Said>, Option<End>) {
    let (mut reader, mut buf, mut said) = (Reader::new(max), BytesMut::new(), Vec::new());
    // Byte by byte: a frame may come in any pieces.
    for byte in wire {
        buf.put_u8(*byte);
        match reader.take(&mut buf) {
            Ok(None) => {}
            Ok(Some(next)) => said.push(next),
            Err(end) => return (said, Some(end)),
        }
    }
    (said, None)
}

#[test]
fn the_key_of_the_standard_is_answered_as_the_standard_says() {
    let mut headers = HeaderMap::new();
    assert_eq!(accept(&headers), None);
    headers.insert("sec-websocket-version", "13".try_into().unwrap());
    headers.insert(
        "sec-websocket-key",
        "dGhlIHNhbXBsZSBub25jZQ==".try_into().unwrap(),
    );
    let head = accept(&headers).unwrap();
    assert!(head.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    assert!(!head.contains("Bearer"));
    headers.insert(
        "sec-websocket-protocol",
        "Bearer, abc.1".try_into().unwrap(),
    );
    assert_eq!(bearer(&headers), Some("abc.1"));
    assert!(
        accept(&headers)
            .unwrap()
            .ends_with("sec-websocket-protocol: Bearer\r\n\r\n")
    );
}

#[test]
fn messages_come_whole_with_pings_between_their_frames() {
    let long = vec![b'x'; 70_000];
    let wire = [
        masked(0x01, b"he"),
        masked(0x89, b"p"),
        masked(0x80, b"llo"),
        masked(0x8a, b""),
        masked(0x82, &long),
        masked(0x88, b""),
    ];
    let (said, end) = read(100_000, &wire.concat());
    let want = [
        Said::Ping("p".into()),
        Said::Message("hello".into()),
        Said::Message(long.into()),
        Said::Close,
    ];
    assert_eq!((&said[..], end), (&want[..], None));
}

#[test]
fn what_breaks_the_protocol_ends_the_websocket() {
    let cases = [
        (text(b"unmasked"), End::Protocol),
        (masked(0xc1, b"extension"), End::Protocol),
        (masked(0x80, b"no beginning"), End::Protocol),
        (masked(0x83, b"no kind"), End::Protocol),
        (masked(0x09, b"ping in pieces"), End::Protocol),
        (masked(0x89, &[0; 126]), End::Protocol),
        (
            [masked(0x01, b"a"), masked(0x81, b"b")].concat(),
            End::Protocol,
        ),
        (masked(0x81, &[0; 201]), End::TooLarge),
        (
            [masked(0x01, &[0; 150]), masked(0x80, &[0; 51])].concat(),
            End::TooLarge,
        ),
    ];
    for (wire, end) in cases {
        assert_eq!(read(200, &wire).1, Some(end), "{wire:?}");
    }
}
