//! Building an index from a checkpoint: damage is refused, leftovers are dropped.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::mvcc::PageId;

fn version(main: i64) -> Version {
    let page = PageId {
        file: 0,
        block: main as u32,
    };
    let value = Value::Sealed(PageSlot {
        page,
        slot: 0,
        len: 1,
    });
    Version {
        revision: Revision::new(main, 0),
        create_revision: 2,
        version: 1,
        lease: 0,
        value,
    }
}

fn key(name: &str) -> Key {
    Key::from(name.as_bytes())
}

#[test]
fn damaged_input_is_refused_by_name() {
    let mut builder = Builder::new(0);
    builder.push(key("b"), vec![version(3)]).unwrap();
    let error = builder.push(key("a"), vec![version(4)]).unwrap_err();
    assert!(
        error.to_string().contains("keys do not rise at key a"),
        "{error}"
    );
    builder.push(key("c"), vec![]).unwrap_err();
    builder
        .push(key("c"), vec![version(5), version(4)])
        .unwrap_err();
    builder.push(key("c"), vec![version(3)]).unwrap();
    let error = builder.finish().unwrap_err();
    assert!(
        error.to_string().contains("two changes have one revision"),
        "{error}"
    );
}

#[test]
fn what_an_unfinished_sweep_left_is_dropped_on_the_way_in() {
    let mut builder = Builder::new(5);
    builder
        .push(key("a"), vec![version(2), version(3), version(7)])
        .unwrap();
    let mut gone = version(4);
    gone.value = Value::Deleted;
    builder.push(key("b"), vec![version(1), gone]).unwrap();
    let (index, dropped) = builder.finish().unwrap();
    assert_eq!(
        dropped
            .iter()
            .map(|slot| slot.page.block)
            .collect::<Vec<_>>(),
        [2, 1]
    );
    index.check().unwrap();
    assert!(index.is_swept());
    assert_eq!(index.stats().keys, 1);
    assert_eq!(index.stats().versions, 2);
}

#[test]
fn trees_of_every_size_are_sound() {
    for count in (0..600).chain([3135, 3136, 3137, 10_000]) {
        let mut builder = Builder::new(0);
        for n in 0..count {
            builder
                .push(key(&format!("{n:08}")), vec![version(n + 2)])
                .unwrap();
        }
        let (index, _) = builder.finish().unwrap();
        index.check().unwrap();
        assert_eq!(index.stats().keys, count as u64);
    }
}
