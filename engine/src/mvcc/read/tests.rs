//! Range runs: what they answer, what they leave out, how they go on and merge.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;

use super::*;
use crate::ids::Revision;

fn slot(n: u32) -> PageSlot {
    PageSlot {
        page: PageId { file: 1, block: n },
        slot: 0,
        len: 3,
    }
}

fn version(main: i64, value: Value) -> Version {
    let revision = Revision::new(main, 0);
    Version {
        revision,
        create_revision: main,
        version: 1,
        lease: 0,
        value,
    }
}

/// Keys k000.. at revisions from 2, every third value in page n/10.
fn index(count: u32) -> Index {
    let mut index = Index::new();
    for n in 0..count {
        let value = match n % 3 {
            0 => Value::Sealed(slot(n / 10)),
            _ => Value::Staged(Bytes::from(format!("value {n}"))),
        };
        index.stage(
            format!("k{n:03}").as_bytes(),
            version(i64::from(n) + 2, value),
        );
    }
    index
}

fn all() -> KeyRange {
    KeyRange::From(Bytes::new())
}

fn keys(run: &Run) -> Vec<String> {
    run.fields()
        .map(|kv| String::from_utf8_lossy(kv.key).into_owned())
        .collect()
}

fn in_memory(_: &PageSlot) -> Option<&'static [u8]> {
    Some(b"page")
}

#[test]
fn a_run_can_be_sent_to_another_core() {
    fn is_send<T: Send>() {}
    is_send::<Run>();
    is_send::<Ask>();
}

#[test]
fn entries_say_all_of_a_key() {
    let mut index = Index::new();
    let value = Value::Staged(Bytes::from_static(b"v"));
    index.stage(
        b"a",
        Version {
            lease: 7,
            version: 3,
            create_revision: 2,
            ..version(9, value)
        },
    );
    let run = run(
        &index,
        &all(),
        Ask {
            rev: 9,
            ..Ask::default()
        },
        &mut in_memory,
        &mut vec![],
    );
    let run = run.unwrap().unwrap();
    let want = [
        0x12, 14, 0x0a, 1, b'a', 0x10, 2, 0x18, 9, 0x20, 3, 0x2a, 1, b'v', 0x30, 7,
    ];
    assert_eq!(run.bytes, want);
    assert_eq!(run.ends, [16]);
}

#[test]
fn the_limit_cuts_and_says_that_there_is_more() {
    let index = index(100);
    for (limit, more) in [
        (0, false),
        (1, true),
        (99, true),
        (100, false),
        (101, false),
    ] {
        let ask = Ask {
            rev: 1000,
            limit,
            ..Ask::default()
        };
        let run = run(&index, &all(), ask, &mut in_memory, &mut vec![])
            .unwrap()
            .unwrap();
        assert_eq!(run.len(), if limit == 0 { 100 } else { limit.min(100) });
        assert_eq!(run.more, more, "limit {limit}");
    }
}

#[test]
fn values_are_left_out_without_touching_pages() {
    let index = index(30);
    let ask = Ask {
        rev: 1000,
        keys_only: true,
        ..Ask::default()
    };
    let mut never = |_: &PageSlot| -> Option<Bytes> { panic!("no value is wanted") };
    let run = run(&index, &all(), ask, &mut never, &mut vec![])
        .unwrap()
        .unwrap();
    assert_eq!(run.len(), 30);
    assert!(
        run.fields()
            .all(|kv| kv.value.is_empty() && kv.mod_revision > 1)
    );
}

#[test]
fn filters_are_inclusive_and_come_before_the_limit() {
    let index = index(30);
    let filter = Filter {
        min_mod: 10,
        max_mod: 20,
        min_create: 12,
        ..Filter::default()
    };
    let ask = Ask {
        rev: 1000,
        limit: 2,
        filter,
        ..Ask::default()
    };
    let cut = run(&index, &all(), ask, &mut in_memory, &mut vec![])
        .unwrap()
        .unwrap();
    assert_eq!(keys(&cut), ["k010", "k011"]);
    assert!(cut.more);
    let ask = Ask { limit: 9, ..ask };
    let whole = run(&index, &all(), ask, &mut in_memory, &mut vec![])
        .unwrap()
        .unwrap();
    assert_eq!(whole.fields().last().unwrap().mod_revision, 20);
    assert!(!whole.more);
}

#[test]
fn missing_pages_are_named_and_the_reader_goes_on_where_it_stopped() {
    let index = index(100);
    let ask = Ask {
        rev: 1000,
        limit: 90,
        ..Ask::default()
    };
    let whole = run(&index, &all(), ask, &mut in_memory, &mut vec![])
        .unwrap()
        .unwrap();
    for keys in [1, 7, 1000] {
        let mut reader = Reader::new(all(), ask);
        // Room for two pages: what was loaded before is gone again.
        let mut cache: Vec<PageId> = Vec::new();
        let mut loads = 0;
        loop {
            let mut missing = Vec::new();
            let mut fetch = |slot: &PageSlot| cache.contains(&slot.page).then_some(b"page");
            match reader.step(&index, keys, &mut fetch, &mut missing).unwrap() {
                Step::Done => break,
                Step::More => assert!(missing.is_empty()),
                Step::Missing => {
                    assert!(!missing.is_empty());
                    cache = missing[..missing.len().min(2)].to_vec();
                    loads += cache.len();
                }
            }
        }
        assert_eq!(reader.finish(), whole);
        assert!(
            (9..=10).contains(&loads),
            "each page once, not {loads} loads"
        );
    }
    let mut missing = Vec::new();
    let nothing = &mut |_: &PageSlot| -> Option<Bytes> { None };
    assert_eq!(run(&index, &all(), ask, nothing, &mut missing), Ok(None));
    assert_eq!(missing, (0..9).map(|n| slot(n).page).collect::<Vec<_>>());
}

#[test]
fn versions_that_come_while_a_reader_waits_do_not_show() {
    let mut index = index(20);
    let mut reader = Reader::new(
        all(),
        Ask {
            rev: 21,
            ..Ask::default()
        },
    );
    assert_eq!(
        reader.step(&index, 5, &mut in_memory, &mut vec![]),
        Ok(Step::More)
    );
    index.stage(b"k007x", version(22, Value::Staged(Bytes::new())));
    index.stage(b"k008", version(23, Value::Deleted));
    while reader.step(&index, 5, &mut in_memory, &mut vec![]) != Ok(Step::Done) {}
    let run = reader.finish();
    assert_eq!(
        keys(&run),
        (0..20).map(|n| format!("k{n:03}")).collect::<Vec<_>>()
    );
}

#[test]
fn a_compaction_above_the_revision_ends_the_read() {
    let mut index = index(20);
    let mut reader = Reader::new(
        all(),
        Ask {
            rev: 10,
            ..Ask::default()
        },
    );
    index.compact_begin(10);
    assert_eq!(
        reader.step(&index, 5, &mut in_memory, &mut vec![]),
        Ok(Step::More)
    );
    index.compact_begin(11);
    let end = reader.step(&index, 5, &mut in_memory, &mut vec![]);
    assert_eq!(end, Err(Error::Compacted));
}

/// The keys of `index`, dealt to `shards` runs by number.
fn dealt(count: u32, shards: u32) -> Vec<Run> {
    let ask = Ask {
        rev: 1000,
        ..Ask::default()
    };
    (0..shards)
        .map(|shard| {
            let mut part = Index::new();
            for n in (0..count).filter(|n| n * 7919 % shards == shard) {
                let value = Value::Staged(Bytes::from(format!("{}", n * 31 % 7)));
                part.stage(
                    format!("k{n:03}").as_bytes(),
                    version(i64::from(n) + 2, value),
                );
            }
            run(&part, &all(), ask, &mut in_memory, &mut vec![])
                .unwrap()
                .unwrap()
        })
        .collect()
}

#[test]
fn runs_of_shards_merge_by_key() {
    for shards in 1..9 {
        for limit in [0, 1, 50, 99, 100, 200] {
            let runs = dealt(100, shards);
            let merged = merge(runs, limit);
            let count = if limit == 0 { 100 } else { limit.min(100) };
            assert_eq!(
                keys(&merged),
                (0..count).map(|n| format!("k{n:03}")).collect::<Vec<_>>()
            );
            assert_eq!(merged.more, count < 100);
            assert_eq!(merged.ends.last(), Some(&merged.bytes.len()));
        }
    }
    assert_eq!(merge(vec![], 0), Run::default());
    let cut = Run {
        more: true,
        ..Run::default()
    };
    assert!(merge(vec![cut, Run::default()], 5).more);
}

#[test]
fn two_runs_that_alternate_in_stretches_merge_by_key() {
    let stretches = [3usize, 1, 7, 2, 20, 5];
    let (mut runs, mut all) = ([Run::default(), Run::default()], Vec::new());
    for (turn, len) in stretches.iter().enumerate() {
        for _ in 0..*len {
            let key = format!("k{:03}", all.len());
            let fields = KvFields {
                key: key.as_bytes(),
                create_revision: 2,
                mod_revision: 2,
                version: 1,
                value: key.as_bytes(),
                lease: 0,
            };
            let run = &mut runs[turn % 2];
            fields.write_entry(&mut run.bytes);
            run.ends.push(run.bytes.len());
            all.push(key);
        }
    }
    for limit in 0..=all.len() + 1 {
        for swap in [false, true] {
            let mut runs = runs.each_ref().map(|run| Run {
                bytes: run.bytes.clone(),
                ends: run.ends.clone(),
                more: false,
            });
            if swap {
                runs.swap(0, 1);
            }
            let merged = merge(runs.into(), limit);
            let count = if limit == 0 {
                all.len()
            } else {
                limit.min(all.len())
            };
            assert_eq!(keys(&merged), all[..count]);
            assert_eq!(merged.ends.last(), Some(&merged.bytes.len()));
            assert_eq!(merged.more, count < all.len());
        }
    }
}

#[test]
fn a_single_run_is_not_copied() {
    let runs = dealt(100, 1);
    let before = runs[0].bytes.as_ptr();
    assert_eq!(merge(runs, 0).bytes.as_ptr(), before);
}
