//! The clock never goes back, and random numbers differ.
use super::*;

#[test]
fn time_does_not_go_back_and_copies_agree() {
    let clock = MonotonicClock::new();
    let copy = clock;
    let mut last = 0;
    for _ in 0..1000 {
        let now = clock.now_ns();
        assert!(now >= last);
        last = copy.now_ns();
        assert!(last >= now);
    }
}

#[test]
fn numbers_are_not_the_same_twice() {
    let entropy = ThreadEntropy::new();
    assert_ne!(
        [entropy.next_u64(), entropy.next_u64()],
        [entropy.next_u64(), entropy.next_u64()]
    );
}
