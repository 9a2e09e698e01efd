//! Streamed ranges over a made-up store: all parts together are the whole answer.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;

use engine::format::kv_wire::KvFields;

use super::*;

/// A store of `n` keys with values of `value` bytes, at revision 50.
fn store(n: usize, value: usize, request: &RangeRequest) -> RangeReply {
    let keys: Vec<String> = (0..n).map(|i| format!("k{i:05}")).collect();
    let inside: Vec<_> = keys
        .iter()
        .filter(|k| request.range.contains(k.as_bytes()))
        .collect();
    let limit = if request.limit > 0 {
        request.limit as usize
    } else {
        usize::MAX
    };
    let value = vec![b'v'; value];
    let mut out = Vec::new();
    let taken: Vec<_> = inside.iter().take(limit).collect();
    for key in &taken {
        let fields = KvFields {
            key: key.as_bytes(),
            value: &value,
            ..Default::default()
        };
        fields.write_entry(&mut out);
    }
    RangeReply {
        revision: 50,
        kvs: vec![out.into()],
        len: taken.len(),
        more: taken.len() < inside.len(),
        count: inside.len() as i64,
    }
}

fn run(request: RangeRequest, n: usize, value: usize) -> Vec<(RangeReply, bool)> {
    let sent = RefCell::new(Vec::new());
    let asked = RefCell::new(0);
    let fetch = async |ask: RangeRequest| {
        let first = asked.replace_with(|n| *n + 1) == 0;
        assert!(first || (ask.revision > 0 && ask.serializable));
        Ok(store(n, value, &ask))
    };
    let send = async |part, last| {
        sent.borrow_mut().push((part, last));
        Ok(())
    };
    crate::testing::run(parts(request, 10_000, fetch, send)).unwrap();
    sent.into_inner()
}

fn span() -> RangeRequest {
    RangeRequest::all(KeyRange::from_wire("k".into(), "l".into()))
}

#[test]
fn all_parts_merged_are_the_whole_answer() {
    for limit in [0, 1, 9, 10, 11, 30, 299, 300, 301] {
        for n in [0, 1, 10, 11, 300] {
            let request = RangeRequest { limit, ..span() };
            let whole = store(n, 100, &request);
            let sent = run(request, n, 100);
            let merged: Vec<Bytes> = sent.iter().flat_map(|(p, _)| p.kvs.clone()).collect();
            assert_eq!(
                merged.concat(),
                whole.kvs.concat(),
                "{n} keys, limit {limit}"
            );
            let (last, ends) = sent.last().unwrap();
            assert!(ends);
            assert_eq!(
                (last.more, last.count, last.revision),
                (whole.more, n as i64, 50)
            );
            assert!(sent.iter().rev().skip(1).all(|(_, last)| !last));
        }
    }
}

#[test]
fn parts_come_out_near_the_size_wanted() {
    let sent = run(span(), 3000, 100);
    let bytes = |part: &RangeReply| part.kvs.iter().map(Bytes::len).sum::<usize>();
    assert_eq!(sent[0].0.len, 10);
    assert!(
        sent.iter()
            .skip(5)
            .rev()
            .skip(1)
            .all(|(p, _)| (4000..20_000).contains(&bytes(p)))
    );
}

#[test]
fn sorts_and_filters_are_unimplemented_and_counts_are_one_message() {
    let never = async |_: RangeRequest| -> Result<RangeReply, Error> { unreachable!() };
    let none = async |_, _| Ok(());
    let sorted = RangeRequest {
        target: SortTarget::Mod,
        ..span()
    };
    let filtered = RangeRequest {
        min_mod_revision: 3,
        ..span()
    };
    for request in [sorted, filtered] {
        let status = crate::testing::run(parts(request, 1, never, none)).unwrap_err();
        assert_eq!(status.code, Code::Unimplemented);
    }
    let sent = run(
        RangeRequest {
            count_only: true,
            ..span()
        },
        300,
        1,
    );
    assert_eq!(sent.len(), 1);
    assert!(sent[0].1);
}
