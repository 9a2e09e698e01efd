//! Ranges against a plain list, and what idle watchers cost.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::world::{World, key, one};
use crate::keys::KeyRange;
use crate::watch::ranges::{Place, Ranges};
use crate::watch::{CreateRequest, Settings};

fn word(random: &mut SmallRng) -> bytes::Bytes {
    let len = random.random_range(0..4);
    (0..len)
        .map(|_| random.random_range(b'a'..=b'd'))
        .collect::<Vec<u8>>()
        .into()
}

#[test]
fn the_ranges_that_hold_a_key_are_those_a_plain_list_names() {
    for seed in 0..40 {
        let random = &mut SmallRng::seed_from_u64(seed);
        let mut ranges = Ranges::default();
        // Watcher i has `places[i]` and `list[i]` while it is there.
        let mut places: Vec<Option<(KeyRange, Place)>> = Vec::new();
        for _ in 0..600 {
            if random.random_range(0..3) > 0 {
                let range = match random.random_range(0..4) {
                    0 => KeyRange::One(word(random)),
                    1 => KeyRange::From(word(random)),
                    _ => KeyRange::Span(word(random), word(random)),
                };
                let place = ranges.add(&range, places.len() as u32);
                places.push(Some((range, place)));
            } else if !places.is_empty() {
                let at = random.random_range(0..places.len());
                if let Some((_, place)) = places[at].take()
                    && let Some(moved) = ranges.remove(place)
                {
                    places[moved as usize].as_mut().unwrap().1 = place;
                }
            }
            let key = word(random);
            let mut found = Vec::new();
            ranges.holding(&key, |slot| found.extend_from_slice(ranges.watchers(slot)));
            found.sort_unstable();
            let expected: Vec<u32> = (0..places.len())
                .filter(|&at| places[at].as_ref().is_some_and(|it| it.0.contains(&key)))
                .map(|at| at as u32)
                .collect();
            assert_eq!(found, expected, "seed {seed}");
        }
    }
}

#[test]
fn an_event_touches_none_of_many_idle_watchers() {
    let mut world = World::new(Settings::default());
    let stream = world.hub.open(0);
    for at in 0..20_000 {
        let name = format!("/idle/{at:06}");
        let range = match at % 2 {
            0 => one(&name),
            _ => KeyRange::Span(key(&name), key(&format!("{name}~"))),
        };
        world.create(stream, &CreateRequest::new(range, 0));
    }
    world.said(stream);
    world.put("/busy", "1");
    assert!(!world.hub.wants(b"/busy"));
    assert!(world.hub.wants(b"/idle/000007/x"));
    assert!(!world.hub.wants(b"/idle/000008/x"));
    world.put("/idle/000007/x", "1");
    assert_eq!(world.said(stream), ["7@3: 3//idle/000007/x=1"]);
}
