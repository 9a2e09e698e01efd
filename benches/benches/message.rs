//! What `server/src/grpc/message.rs` costs: finding messages in chunks as they come from a socket,
//! whole and in pieces. Run with `cargo bench -p benches --bench message`.
#![allow(missing_docs)]

use bytes::{BufMut, Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use server::grpc::message::Decoder;

const MESSAGES: usize = 64;
const MESSAGE_BYTES: usize = 300;

fn stream() -> Bytes {
    let mut bytes = BytesMut::new();
    for _ in 0..MESSAGES {
        bytes.put_u8(0);
        bytes.put_u32(MESSAGE_BYTES as u32);
        bytes.put_bytes(b'm', MESSAGE_BYTES);
    }
    bytes.freeze()
}

fn decode(stream: &Bytes, chunk_bytes: usize) -> usize {
    let mut decoder = Decoder::new(1 << 20);
    let mut messages = 0;
    for mut chunk in stream.chunks(chunk_bytes) {
        while !chunk.is_empty() {
            messages += usize::from(decoder.push(&mut chunk).expect("plain").is_some());
        }
    }
    messages
}

fn message(c: &mut Criterion) {
    let stream = stream();
    let mut group = c.benchmark_group("message");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    for (name, chunk_bytes) in [("whole", 1 << 20), ("in pieces of 128 bytes", 128)] {
        group.bench_function(name, |b| {
            b.iter(|| assert_eq!(decode(&stream, chunk_bytes), MESSAGES));
        });
    }
    group.finish();
}

criterion_group!(benches, message);
criterion_main!(benches);
