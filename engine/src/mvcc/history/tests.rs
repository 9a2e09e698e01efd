//! The queue of changes is found in by revision, whatever its length.
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;

use super::*;

fn change(n: i64) -> Change {
    Change {
        main: 2 + n / 3,
        sub: (n % 3) as u32,
        id: n as u32,
    }
}

#[test]
fn it_is_a_queue_that_can_be_searched_at_every_length() {
    let mut history = History::default();
    let mut model = VecDeque::new();
    let mut next = 0;
    // Rises and falls across several chunk borders, from both ends.
    for (push, front, back) in [(3000, 1000, 10), (10, 1500, 0), (2048, 0, 2500), (1, 49, 0)] {
        for _ in 0..push {
            history.push(change(next));
            model.push_back(change(next));
            next += 1;
        }
        for _ in 0..front {
            assert_eq!(history.pop_front(), model.pop_front());
        }
        for _ in 0..back {
            assert_eq!(history.pop_back(), model.pop_back());
        }
        assert_eq!(history.len(), model.len());
        assert_eq!(history.front(), model.front());
        assert_eq!(history.back(), model.back());
        for n in (0..next + 5).step_by(37) {
            let want = model.partition_point(|c| c.revision() < change(n).revision());
            let place = history.seek(change(n).revision());
            assert_eq!(place, want, "{n}");
            assert_eq!(history.get(place), model.get(want));
            assert!(history.iter_from(place).eq(model.iter().skip(want)));
        }
    }
    assert_eq!(history.len(), 0);
    assert_eq!(history.pop_front(), None);
    assert_eq!(history.seek(Revision::new(1, 0)), 0);
}
