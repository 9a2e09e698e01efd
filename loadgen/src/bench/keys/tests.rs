//! Spaces have the shape that their names promise.

use std::collections::BTreeMap;

use rand::SeedableRng;

use super::*;

fn drawn(space: Space, count: u64, times: usize) -> BTreeMap<u64, usize> {
    let mut keys = Keys::new(space, count, 32, 0);
    let mut random = SmallRng::seed_from_u64(1);
    let mut seen = BTreeMap::new();
    for _ in 0..times {
        *seen.entry(keys.draw(&mut random)).or_default() += 1;
    }
    assert!(seen.keys().all(|number| *number < count));
    seen
}

#[test]
fn each_space_draws_as_its_name_says() {
    let uniform = drawn(Space::Uniform, 100, 100_000);
    assert!(uniform.len() == 100 && uniform.values().all(|n| (700..1300).contains(n)));
    let sequential = drawn(Space::Sequential, 100, 250);
    assert!(
        sequential
            .iter()
            .all(|(key, n)| *n == if *key < 50 { 3 } else { 2 })
    );
    let mut zipfian: Vec<usize> = drawn(Space::Zipfian, 1000, 100_000).into_values().collect();
    zipfian.sort_unstable_by(|a, b| b.cmp(a));
    // Of 1,000 keys the most popular has about an eighth, the second half of that.
    assert!((10_000..16_000).contains(&zipfian[0]), "{}", zipfian[0]);
    assert!((5_000..8_000).contains(&zipfian[1]), "{}", zipfian[1]);
    for space in [Space::Uniform, Space::Zipfian, Space::Sequential] {
        assert_eq!(drawn(space, 1, 3).len(), 1);
    }
}

#[test]
fn ranks_are_scattered_over_all_places() {
    for count in [1, 2, 3, 10, 618, 1000] {
        let mut places: Vec<u64> = (0..count).map(|rank| scatter(rank, count)).collect();
        places.sort_unstable();
        assert_eq!(places, (0..count).collect::<Vec<_>>());
    }
}

#[test]
fn keys_have_their_size_and_lie_in_their_range() {
    for space in [Space::Uniform, Space::Kubernetes] {
        let keys = Keys::new(space, 1000, 32, 0);
        let (first, end) = keys.whole();
        for number in [0, 999, 99_999_999] {
            let key = keys.key(number);
            assert!(first <= key && key < end, "{key:?}");
            assert!(space == Space::Kubernetes || key.len() == 32);
        }
    }
}
