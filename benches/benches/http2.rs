//! What HTTP/2 itself costs a server for a unary call: frames of many calls as a client sends them
//! are read, and each call is answered with headers, a message and trailers.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http2::{Code, Config, Connection, Fields, Handler, Role};

/// Calls that arrive together, as from 64 clients on one connection.
const CALLS: usize = 64;

/// Bytes of a request, as of a put with 256 bytes of value, and of its answer.
const REQUEST_BYTES: usize = 300;
const ANSWER_BYTES: usize = 32;

/// Takes what arrives and remembers whose request is complete.
#[derive(Default)]
struct Calls {
    complete: Vec<u32>,
    bytes: usize,
}

impl Handler for Calls {
    type Stream = ();

    fn opened(&mut self, _: u32, fields: Fields<'_>, _: bool) -> Result<(), Code> {
        self.bytes += fields.iter().map(|f| f.value.len()).sum::<usize>();
        Ok(())
    }

    fn headers(&mut self, _: u32, (): &mut (), _: Fields<'_>, _: bool) -> Result<(), Code> {
        Ok(())
    }

    fn data(&mut self, id: u32, (): &mut (), data: &[u8], end: bool) -> Result<usize, Code> {
        self.bytes += data.len();
        if end {
            self.complete.push(id);
        }
        Ok(data.len())
    }

    fn reset(&mut self, _: u32, (): (), _: Code, _: usize) {}

    fn moved(&mut self, _: u32, (): &mut (), _: usize) {}
}

/// Takes all of the output.
fn taken(h2: &mut Connection<()>) -> Vec<u8> {
    let mut all = Vec::new();
    while !h2.output().is_empty() {
        let mut slices = [std::io::IoSlice::new(&[]); 16];
        let n = h2.output().slices(&mut slices);
        let before = all.len();
        slices[..n].iter().for_each(|s| all.extend_from_slice(s));
        let len = all.len() - before;
        h2.sent(len);
    }
    all
}

fn ask(client: &mut Connection<()>, message: &Bytes) {
    let id = client.open((), false, |block| {
        block.common(b":method", b"POST");
        block.common(b":scheme", b"http");
        block.common(b":path", b"/etcdserverpb.KV/Put");
        block.common(b":authority", b"127.0.0.1:2379");
        block.common(b"content-type", b"application/grpc");
        block.common(b"te", b"trailers");
    });
    let id = id.expect("the server takes calls");
    client
        .data_out(id, message.clone().into(), true)
        .expect("it was just opened");
}

fn answer(server: &mut Connection<()>, id: u32, message: &Bytes) {
    let open = "the call is open";
    server
        .headers_out(id, false, |block| {
            block.common(b":status", b"200");
            block.common(b"content-type", b"application/grpc");
        })
        .expect(open);
    server
        .data_out(id, message.clone().into(), false)
        .expect(open);
    server
        .trailers_out(id, &[(b"grpc-status", b"0", true)])
        .expect(open);
}

/// Both ends of a connection, their first words exchanged.
fn pair() -> (Connection<()>, Connection<()>) {
    let mut client = Connection::new(Role::Client, Config::default());
    let mut server = Connection::new(Role::Server, Config::default());
    for _ in 0..2 {
        let said = taken(&mut client);
        server
            .receive(&said, &mut Calls::default())
            .expect("a good client");
        let said = taken(&mut server);
        client
            .receive(&said, &mut Calls::default())
            .expect("a good server");
    }
    (client, server)
}

fn http2(c: &mut Criterion) {
    let (request, reply) = (
        Bytes::from(vec![b'r'; REQUEST_BYTES]),
        Bytes::from(vec![b'a'; ANSWER_BYTES]),
    );
    let mut group = c.benchmark_group("http2");
    group.throughput(Throughput::Elements(CALLS as u64));
    group.bench_function("unary calls, both ends", |b| {
        let (mut client, mut server) = pair();
        let mut calls = Calls::default();
        b.iter(|| {
            for _ in 0..CALLS {
                ask(&mut client, &request);
            }
            let said = taken(&mut client);
            server.begin_turn();
            server.receive(&said, &mut calls).expect("a good client");
            for id in calls.complete.drain(..) {
                answer(&mut server, id, &reply);
            }
            let said = taken(&mut server);
            client
                .receive(&said, &mut Calls::default())
                .expect("a good server");
            black_box(calls.bytes)
        });
    });
    group.finish();
}

criterion_group!(benches, http2);
criterion_main!(benches);
