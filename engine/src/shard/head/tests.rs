//! Transactions larger than a batch are cut into parts that each fit.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::format::effects::Put;

fn change(value_bytes: usize) -> Change {
    let put = Put {
        create_revision: 0,
        version: 1,
        lease: 0,
        value: vec![b'v'; value_bytes].into(),
    };
    Change {
        sub: 0,
        key: b"key"[..].into(),
        put: Some(put),
    }
}

fn cut(values: &[usize]) -> Vec<usize> {
    let changes: Vec<Change> = values.iter().map(|bytes| change(*bytes)).collect();
    cuts(changes.iter())
}

#[test]
fn what_fits_a_batch_is_one_part_and_nothing_is_none() {
    assert_eq!(cut(&[]), [0usize; 0]);
    assert_eq!(cut(&[10]), [1]);
    assert_eq!(cut(&[10; BATCH_OPS_MAX]), [BATCH_OPS_MAX]);
    assert_eq!(cut(&[10; BATCH_OPS_MAX + 1]), [BATCH_OPS_MAX, 1]);
}

#[test]
fn parts_are_cut_where_the_bytes_of_a_batch_end() {
    let own = change_bytes(&change(0));
    let half = BATCH_BYTES_MAX / 2 - own;
    assert_eq!(cut(&[half, half, half]), [2, 1]);
    assert_eq!(cut(&[half, half + 1, half]), [1, 1, 1]);
    assert_eq!(cut(&[half, half - 1, 0]), [2, 1]);
    // One that is larger than any batch is alone in its part.
    assert_eq!(cut(&[10, 2 * BATCH_BYTES_MAX, 10]), [1, 1, 1]);
}
