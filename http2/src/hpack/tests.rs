//! The examples of RFC 7541, appendix C, both ways, and what is broken.
#![allow(clippy::unwrap_used)]

use super::*;

const MAX: usize = 1 << 16;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|d| (d[0] * 16 + d[1]) as u8).collect()
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<(String, String)>, Malformed> {
    let mut list = List::default();
    decoder.decode(block, &mut list, MAX)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let fields = list.fields().iter();
    Ok(fields.map(|f| (text(f.name), text(f.value))).collect())
}

fn pairs(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = |(n, v): &(&str, &str)| ((*n).to_owned(), (*v).to_owned());
    fields.iter().map(own).collect()
}

/// Three requests on one connection: appendix C.3 in plain letters, C.4 in the code.
#[test]
fn the_rfcs_requests_are_read_with_one_table() {
    let first = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "www.example.com"),
    ];
    let second = [&first[..], &[("cache-control", "no-cache")]].concat();
    let third = [
        (":method", "GET"),
        (":scheme", "https"),
        (":path", "/index.html"),
        (":authority", "www.example.com"),
        ("custom-key", "custom-value"),
    ];
    let plain = [
        "828684410f7777772e6578616d706c652e636f6d",
        "828684be58086e6f2d6361636865",
        "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
    ];
    let coded = [
        "828684418cf1e3c2e5f23a6ba0ab90f4ff",
        "828684be5886a8eb10649cbf",
        "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
    ];
    for blocks in [plain, coded] {
        let mut decoder = Decoder::default();
        for (block, want) in blocks.iter().zip([&first[..], &second, &third]) {
            assert_eq!(decode(&mut decoder, &hex(block)).unwrap(), pairs(want));
        }
    }
    // The encoder finds the same shortest form.
    let mut encoder = Encoder::default();
    for (block, want) in coded.iter().zip([&first[..], &second, &third]) {
        let mut out = Vec::new();
        encoder.begin(&mut out);
        for (name, value) in want {
            encoder.common(Field::new(name.as_bytes(), value.as_bytes()), &mut out);
        }
        assert_eq!(out, hex(block));
    }
}

#[test]
fn integers_of_every_prefix_come_back() {
    for bits in 4..=7 {
        for value in [
            0,
            1,
            14,
            15,
            16,
            30,
            31,
            126,
            127,
            128,
            254,
            1337,
            70_000,
            1 << 20,
        ] {
            let mut out = Vec::new();
            integer::write(&mut out, 0, bits, value);
            let mut input = &out[..];
            assert_eq!(integer::read(&mut input, bits), Ok(value));
            assert!(input.is_empty());
        }
    }
    // Appendix C.1.2.
    let mut out = Vec::new();
    integer::write(&mut out, 0, 5, 1337);
    assert_eq!(out, [31, 154, 10]);
    let mut endless: &[u8] = &[0x7f, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00];
    assert_eq!(integer::read(&mut endless, 7), Err(Malformed));
    let mut huge: &[u8] = &[0x7f, 0xff, 0xff, 0xff, 0x7f];
    assert_eq!(integer::read(&mut huge, 7), Err(Malformed));
    assert_eq!(integer::read(&mut &[0xffu8, 0x80][..], 7), Err(Malformed));
}

#[test]
fn every_byte_and_every_padding_comes_back_from_the_code() {
    let all: Vec<u8> = (0..=255).collect();
    for text in [&b""[..], b"a", b"no-cache", b"/etcdserverpb.KV/Range", &all] {
        for extra in 0..8 {
            let text = [text, &vec![b'0'; extra]].concat();
            let mut coded = Vec::new();
            huffman::encode(&text, &mut coded);
            assert_eq!(coded.len(), huffman::encoded_len(&text));
            let mut out = Vec::new();
            huffman::decode(&coded, &mut out).unwrap();
            assert_eq!(out, text);
        }
    }
    // Padding of zeros, padding of a whole byte, the end mark.
    for broken in [&[0x18u8][..], &[0x1f, 0xff], &[0xff, 0xff, 0xff, 0xff]] {
        assert_eq!(
            huffman::decode(broken, &mut Vec::new()),
            Err(Malformed),
            "{broken:?}"
        );
    }
}

#[test]
fn a_full_table_drops_its_oldest_at_both_ends() {
    let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
    for max in [4096, 100, 0, 60, 4096] {
        encoder.set_table_max(max);
        for n in 0..300u32 {
            let value = format!("value-{}", n * n % 97);
            let mut out = Vec::new();
            encoder.begin(&mut out);
            encoder.common(Field::new(b"x-number", value.as_bytes()), &mut out);
            encoder.unique(Field::new(b"x-once", b"1"), &mut out);
            let want = pairs(&[("x-number", &value), ("x-once", "1")]);
            assert_eq!(decode(&mut decoder, &out).unwrap(), want, "{max} {n}");
        }
    }
}

#[test]
fn a_list_over_its_bound_is_marked_and_the_table_goes_on() {
    let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
    let mut out = Vec::new();
    for n in 0..10 {
        let name = format!("x-{n}");
        encoder.common(Field::new(name.as_bytes(), &[b'v'; 100]), &mut out);
    }
    let mut list = List::default();
    decoder.decode(&out, &mut list, 500).unwrap();
    assert!(list.fields().is_too_large());
    assert_eq!(list.fields().iter().count(), 3);
    let mut out = Vec::new();
    encoder.common(Field::new(b"x-9", &[b'v'; 100]), &mut out);
    assert_eq!(out.len(), 1, "it stands in the table");
    decoder.decode(&out, &mut list, 500).unwrap();
    assert!(!list.fields().is_too_large());
    assert_eq!(list.fields().get(b"x-9").unwrap().len(), 100);
}

#[test]
fn broken_blocks_are_refused() {
    for block in [
        "80",         // index 0
        "be",         // an index beyond the tables
        "7f8001",     // a name beyond the tables
        "410f777777", // a text that is cut
        "8220",       // a new bound behind a field
        "3fe21f",     // a bound above the one announced
        "41",         // nothing after the name
    ] {
        let result = decode(&mut Decoder::default(), &hex(block));
        assert_eq!(result, Err(Malformed), "{block}");
    }
}

#[test]
fn only_well_formed_lists_pass() {
    let well_formed = |fields: &[(&str, &str)]| {
        let (mut encoder, mut out) = (Encoder::default(), Vec::new());
        for (name, value) in fields {
            encoder.unique(Field::new(name.as_bytes(), value.as_bytes()), &mut out);
        }
        let mut list = List::default();
        Decoder::default().decode(&out, &mut list, MAX).unwrap();
        list.fields().is_well_formed()
    };
    assert!(well_formed(&[
        (":method", "POST"),
        ("te", "trailers"),
        ("x", "any \u{e9}")
    ]));
    assert!(
        !well_formed(&[("x", "1"), (":method", "POST")]),
        "pseudo-headers come first"
    );
    assert!(!well_formed(&[("Content-Type", "x")]), "capitals");
    assert!(!well_formed(&[("connection", "close")]));
    assert!(!well_formed(&[("te", "gzip")]));
    assert!(!well_formed(&[("x", "a\r\nb: c")]));
    assert!(!well_formed(&[("", "x")]));
    assert!(!well_formed(&[("a b", "x")]));
}

#[test]
fn mutated_blocks_never_panic_and_stay_within_the_bound() {
    let good = hex("828684418cf1e3c2e5f23a6ba0ab90f4ff5886a8eb10649cbf408825a849e95ba97d7f");
    let mut dice = crate::dice::Dice(7);
    let mut read = 0;
    for _ in 0..100_000 {
        let mut block = good.clone();
        for _ in 0..=dice.below(4) {
            let at = dice.below(block.len());
            match dice.below(3) {
                0 => block[at] = dice.below(256) as u8,
                1 => block[at] ^= 1 << dice.below(8),
                _ => block.truncate(at + 1),
            }
        }
        let mut list = List::default();
        let mut decoder = Decoder::default();
        read += usize::from(decoder.decode(&block, &mut list, 200).is_ok());
        assert!(list.bytes.len() <= 200 + block.len() * 2);
    }
    assert!(read > 1000, "{read}: too wild to test anything");
}
