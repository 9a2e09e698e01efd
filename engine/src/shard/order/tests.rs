//! Revisions are dense, and settle in order and only when whole.
#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn a_revision_settles_when_it_and_all_below_are_whole() {
    let order = Order::new(2);
    order.begin(1);
    let (a, b, c) = (order.take(1), order.take(2), order.take(1));
    assert_eq!((a, b, c), (2, 3, 4));
    assert!(!order.part_committed(c));
    assert!(!order.part_committed(b));
    assert!(order.part_committed(a));
    assert_eq!(order.settled(), 2);
    assert!(order.part_committed(b));
    assert_eq!(order.settled(), 4);
}

#[test]
fn the_ring_does_not_take_an_old_slot_for_a_new_revision() {
    let order = Order::new(1);
    order.begin(1);
    for _ in 0..UNSETTLED_MAX + 3 {
        let revision = order.take(1);
        assert_eq!(
            order.settled(),
            revision - 1,
            "settled before it was committed"
        );
        order.part_committed(revision);
    }
}

#[test]
fn a_full_ring_has_no_room() {
    let order = Order::new(1);
    order.begin(7);
    while order.has_room() {
        order.take(1);
    }
    assert!(order.last() - 7 < UNSETTLED_MAX as i64);
    order.part_committed(8);
    assert!(order.has_room());
}

#[test]
fn a_waiting_core_is_told_once() {
    let order = Order::new(2);
    order.begin(1);
    order.wait_for(CoreId(1), Some(2));
    assert!(!order.tell(CoreId(1)));
    let revision = order.take(1);
    order.part_committed(revision);
    assert!(order.tell(CoreId(1)));
    assert!(!order.tell(CoreId(1)));
}

#[test]
fn threads_settle_everything_they_take() {
    let order = Order::new(4);
    order.begin(1);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    let revision = order.take(1);
                    order.part_committed(revision);
                }
            });
        }
    });
    assert_eq!(order.settled(), 80_001);
}
