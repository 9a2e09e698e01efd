//! Numbers, not assertions: `cargo test --release -p engine speed -- --ignored --nocapture`.

use std::hint::black_box;

use super::*;
use crate::mvcc::read::{Ask, Reader, Run, merge};

const KEYS: usize = 1_000_000;

fn name(n: usize) -> String {
    // 32 bytes, scattered so that neighbours in time are not neighbours in order.
    format!(
        "/registry/pods/ns-{:03}/pod-{:06}",
        n * 7919 % 500,
        n * 7919 % KEYS
    )
}

/// Nanoseconds of one of `count` rounds, measured from outside the engine's rules on clocks.
#[allow(clippy::disallowed_methods)]
fn time(what: &str, count: usize, mut round: impl FnMut(usize)) {
    let start = std::time::Instant::now();
    (0..count).for_each(&mut round);
    let ns = start.elapsed().as_nanos() / count as u128;
    eprintln!("{what:48} {ns:>9} ns");
}

fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn sealed(main: i64) -> Version {
    let page = PageId {
        file: 0,
        block: main as u32,
    };
    let value = Value::Sealed(PageSlot {
        page,
        slot: 0,
        len: 256,
    });
    Version {
        revision: Revision::new(main, 0),
        create_revision: main,
        version: 1,
        lease: 0,
        value,
    }
}

#[test]
#[ignore = "prints numbers"]
fn speed() {
    let names: Vec<String> = (0..KEYS).map(name).collect();
    let before = resident();
    let mut index = Index::new();
    time("stage a new key", KEYS, |n| {
        index.stage(names[n].as_bytes(), sealed(n as i64 + 2))
    });
    let key_cost = |what: &str, index: &Index| {
        let stats = index.stats();
        let real = resident() - before;
        eprintln!(
            "{what}: {} B a key by its own account",
            stats.memory_bytes as usize / KEYS
        );
        eprintln!("{what}: {} B a key resident", real / KEYS);
    };
    key_cost("staged", &index);
    let top = KEYS as i64 + 1;
    let mut dropped = Vec::new();
    index.compact_begin(top);
    time("sweep one change", KEYS, |_| {
        black_box(index.compact_step(1, &mut dropped));
    });
    key_cost("compacted", &index);
    points(&index, &names, top);
    let mut rev = top;
    time("stage a version of a key that is there", 200_000, |n| {
        rev += 1;
        index.stage(names[n * 5].as_bytes(), sealed(rev));
    });
    let half = KeyRange::Span(
        "/registry/pods/ns-000".into(),
        "/registry/pods/ns-250".into(),
    );
    time("count half, 100 changes back", 1000, |_| {
        black_box(index.count(&half, rev - 100));
    });
    time("count half, 200,000 changes back", 3, |_| {
        black_box(index.count(&half, top));
    });
    build(&index);
}

fn points(index: &Index, names: &[String], top: i64) {
    time("newest() in random order", KEYS, |n| {
        black_box(index.newest(names[n * 15_485_863 % KEYS].as_bytes()));
    });
    let half = KeyRange::Span(
        "/registry/pods/ns-000".into(),
        "/registry/pods/ns-250".into(),
    );
    let found = index.count(&half, top);
    time(
        &format!("count half ({found}), newest state"),
        100_000,
        |_| {
            black_box(index.count(black_box(&half), top));
        },
    );
    time("scan 1000 keys", 1000, |n| {
        let from = names[n * 104_729 % KEYS].as_bytes();
        let mut left = 1000;
        index.scan(
            &KeyRange::From(Bytes::copy_from_slice(from)),
            top,
            |_, version| {
                black_box(version.revision);
                left -= 1;
                if left == 0 {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            },
        );
    });
    let value = vec![b'v'; 256];
    let read = |from: &[u8], limit: usize| -> Run {
        let range = KeyRange::From(Bytes::copy_from_slice(from));
        let mut reader = Reader::new(
            range,
            Ask {
                rev: top,
                limit,
                ..Ask::default()
            },
        );
        reader
            .step(index, usize::MAX, &mut |_| Some(&value), &mut Vec::new())
            .unwrap();
        reader.finish()
    };
    time("run of 1000 keys of 256 B, cold", 1000, |n| {
        black_box(read(names[n * 104_729 % KEYS].as_bytes(), 1000));
    });
    time("run of 1000 keys of 256 B, warm", 1000, |_| {
        black_box(read(b"/registry/pods/ns-100", 1000));
    });
    let runs = || -> Vec<Run> {
        let whole = read(b"/registry/pods/ns-100", 1000);
        let mut parts: Vec<Run> = (0..8).map(|_| Run::default()).collect();
        for n in 0..whole.len() {
            parts[n % 8]
                .bytes
                .extend_from_slice(whole.entry(n).unwrap());
            let end = parts[n % 8].bytes.len();
            parts[n % 8].ends.push(end);
        }
        parts
    };
    let mut made: Vec<Vec<Run>> = (0..200).map(|_| runs()).collect();
    time("merge 8 runs to 1000 entries", 200, |_| {
        black_box(merge(made.pop().unwrap(), 0));
    });
}

fn build(index: &Index) {
    let mut all = Vec::new();
    time("dump a key", 1, |_| {
        index.dump_step(None, i64::MAX, usize::MAX, &mut |key, versions| {
            all.push((key.clone(), versions.to_vec()));
        });
    });
    let mut builder = Builder::new(index.compacted());
    time("push a dumped key", 1, |_| {
        for (key, versions) in all.drain(..) {
            builder.push(key, versions).unwrap();
        }
    });
    time("finish building a million keys", 1, |_| {
        let builder = std::mem::replace(&mut builder, Builder::new(0));
        black_box(builder.finish().unwrap());
    });
}
