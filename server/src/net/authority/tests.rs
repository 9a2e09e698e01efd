//! What old Go clients send is let through, whole or in pieces, and nothing else is touched.

use super::*;

/// What Go's client 3.4 sends first, with `http://127.0.0.1:2379` as `:authority`.
fn first_call(authority: &[u8]) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // Empty SETTINGS, then HEADERS with method, scheme, authority.
    bytes.extend_from_slice(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
    let mut block = vec![0x83, 0x86, NAME, HUFFMAN | authority.len() as u8];
    block.extend_from_slice(authority);
    bytes.extend_from_slice(&[0, 0, block.len() as u8, HEADERS, 4, 0, 0, 0, 1]);
    bytes.extend_from_slice(&block);
    bytes
}

/// `http://127.0.0.1:2379` in HPACK's code.
const URL: [u8; 16] = [
    0x9d, 0x29, 0xae, 0xe3, 0x0c, 0x04, 0x2e, 0x05, 0xc0, 0xb8, 0x17, 0x02, 0xe2, 0x2c, 0x8e, 0xff,
];

#[test]
fn a_url_becomes_an_authority_of_the_same_length() {
    let mut bytes = first_call(&URL);
    let before = bytes.clone();
    Authority::new().pass(&mut bytes);
    let at = before.len() - URL.len();
    assert_eq!(bytes[..at], before[..at]);
    assert_eq!(bytes[at..at + INSTEAD.len()], INSTEAD);
    assert_eq!(bytes[at + INSTEAD.len()..], before[at + INSTEAD.len()..]);
}

#[test]
fn frames_are_followed_however_they_arrive() {
    let mut whole = first_call(&URL);
    let headers = whole.len() - URL.len() - 4;
    let (front, block) = whole.split_at_mut(headers);
    let mut authority = Authority::new();
    front.chunks_mut(1).for_each(|byte| authority.pass(byte));
    authority.pass(block);
    assert!(authority.found);
    // The second call of the connection is looked at as well: the table may have lost the first.
    let mut second = first_call(&URL).split_off(PREFACE_BYTES);
    let before = second.clone();
    authority.pass(&mut second);
    assert_ne!(second, before);
}

#[test]
fn data_that_looks_alike_and_plain_authorities_stay() {
    let mut plain = first_call(&[0x08, 0x9d, 0x5c, 0x0b]);
    let before = plain.clone();
    let mut authority = Authority::new();
    authority.pass(&mut plain);
    assert_eq!(plain, before);
    assert!(!authority.active, "followed on, though nothing will come");

    let mut authority = Authority::new();
    let mut bytes = first_call(&URL);
    authority.pass(&mut bytes);
    let mut data = vec![0, 0, 18, 0, 1, 0, 0, 0, 1, NAME, HUFFMAN | 16];
    data.extend_from_slice(&URL);
    let before = data.clone();
    authority.pass(&mut data);
    assert_eq!(data, before);
}

#[test]
fn mutated_connections_keep_their_length_and_all_but_a_urls_first_letters() {
    let good = first_call(&URL);
    let mut dice = crate::testing::Dice(5);
    let mut replaced = 0;
    for _ in 0..20_000 {
        let before = dice.mutate(&good);
        let mut bytes = before.clone();
        let cut = 1 + dice.below(bytes.len());
        let mut authority = Authority::new();
        bytes
            .chunks_mut(cut)
            .for_each(|chunk| authority.pass(chunk));
        let mut at = 0;
        while at < bytes.len() {
            if bytes[at] == before[at] {
                at += 1;
                continue;
            }
            // The first two letters of the code are the same in both.
            let start = at - 3;
            assert_eq!(before[start..start + FOUND.len()], FOUND);
            assert_eq!(bytes[start..start + INSTEAD.len()], INSTEAD);
            at = start + FOUND.len();
            replaced += 1;
        }
    }
    assert!(replaced > 1000, "{replaced}: too wild to test anything");
}
