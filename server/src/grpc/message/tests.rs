//! Framing, unframing however the bytes are cut, and what replies are made of.
#![allow(clippy::unwrap_used)]

use super::*;

fn framed(messages: &[&[u8]]) -> Bytes {
    let mut out = BytesMut::new();
    for m in messages {
        put_prefix(&mut out, m.len());
        out.put_slice(m);
    }
    out.freeze()
}

fn decode_all(decoder: &mut Decoder, wire: &Bytes, cut: usize) -> Vec<Bytes> {
    let mut out = Vec::new();
    for chunk in wire.chunks(cut) {
        let mut chunk = chunk;
        while let Some(message) = decoder.push(&mut chunk).unwrap() {
            out.push(message);
        }
        assert!(chunk.is_empty());
    }
    out
}

#[test]
fn messages_are_found_however_the_bytes_are_cut() {
    let long = vec![9u8; 70_000];
    let messages: [&[u8]; 5] = [b"", b"a", b"hello", &long, b""];
    let wire = framed(&messages);
    for cut in [1, 2, 3, 4, 5, 6, 7, 100, 16_384, wire.len()] {
        let mut decoder = Decoder::new(100_000);
        assert_eq!(decode_all(&mut decoder, &wire, cut), messages, "cut {cut}");
        assert!(decoder.at_boundary());
    }
}

#[test]
fn an_oversized_message_is_refused_before_its_bytes_are_taken() {
    let mut head: &[u8] = &[0, 0, 0x20, 0, 1];
    let status = Decoder::new(2 << 20).push(&mut head).unwrap_err();
    assert_eq!(status.code, Code::ResourceExhausted);
    assert_eq!(
        status.message,
        "grpc: received message larger than max (2097153 vs. 2097152)"
    );
}

#[test]
fn a_claimed_length_takes_no_memory_by_itself() {
    let mut decoder = Decoder::new(2 << 20);
    let mut chunk: &[u8] = &[0, 0, 0x20, 0, 0, 7];
    assert_eq!(decoder.push(&mut chunk).unwrap(), None);
    assert_eq!(decoder.held(), 1);
    assert!(decoder.partial.capacity() <= TRUSTED_BYTES);
    assert!(!decoder.at_boundary());
}

#[test]
fn a_compressed_message_is_refused() {
    let mut wire: &[u8] = &[1, 0, 0, 0, 1, 7];
    assert_eq!(
        Decoder::new(10).push(&mut wire).unwrap_err().code,
        Code::Internal
    );
}

#[test]
fn pieces_are_kept_in_order_behind_one_prefix() {
    let pieces = [
        Bytes::from_static(b"ab"),
        Bytes::new(),
        Bytes::from_static(b"cde"),
    ];
    let reply = Reply::from_pieces(pieces);
    assert_eq!(reply.message(), "abcde");
    let pieces = reply.into_pieces();
    assert_eq!(pieces.len(), 10);
    let whole: Vec<u8> = pieces.iter().flatten().copied().collect();
    assert_eq!(whole, b"\0\0\0\0\x05abcde");
}

#[test]
fn an_encoded_reply_is_prefix_and_message() {
    let message = proto::etcdserverpb::LeaseGrantRequest { ttl: 5, id: 0 };
    let reply = Reply::encode(&message);
    assert_eq!(reply.message(), message.encode_to_vec());
    assert_eq!(reply.len(), PREFIX_BYTES + 2);
}

#[test]
fn mutated_frames_never_panic_and_hold_no_more_than_they_sent() {
    let wire = framed(&[b"", b"a", &[7; 300], b"hello"]);
    let mut dice = crate::testing::Dice(3);
    for _ in 0..20_000 {
        let broken = Bytes::from(dice.mutate(&wire));
        let mut decoder = Decoder::new(1000);
        let cut = 1 + dice.below(broken.len());
        'frames: for chunk in broken.chunks(cut) {
            let mut chunk = chunk;
            while !chunk.is_empty() {
                match decoder.push(&mut chunk) {
                    Ok(Some(message)) => assert!(message.len() <= 1000),
                    Ok(None) => assert!(decoder.held() <= broken.len()),
                    Err(_) => break 'frames,
                }
            }
        }
    }
}
