//! Which disks get which profile.
#![allow(clippy::unwrap_used)]

use crate::{Durable, Profile, Told};

fn even(p50_us: u64, p99_us: u64) -> Durable {
    Durable {
        p50_us,
        mean_us: p50_us,
        p99_us,
    }
}

#[test]
fn picks_by_what_a_durable_write_costs() {
    for (p50, p99, rotational, name) in [
        (20, 60, Some(false), "nvme-plp"),
        (20, 60, None, "nvme-plp"),
        (50, 300, Some(true), "virtio"),
        (129, 800, Some(true), "virtio"),
        (129, 800, Some(false), "virtio"),
        (700, 1500, Some(false), "cloud-volume"),
        (700, 9000, Some(false), "nvme-consumer"),
        (3000, 5000, Some(false), "sata-ssd"),
        (3000, 5000, Some(true), "sata-ssd"),
        (8500, 30_000, Some(true), "spinning"),
        (8500, 30_000, None, "spinning"),
        (8500, 30_000, Some(false), "sata-ssd"),
        (u64::MAX, u64::MAX, None, "spinning"),
        (0, 0, None, "nvme-plp"),
    ] {
        let told = Told {
            rotational,
            is_virtual: false,
        };
        let choice = Profile::choose(even(p50, p99), told);
        assert_eq!(
            choice.name, name,
            "p50 {p50} p99 {p99} rotational {rotational:?}"
        );
        assert!(Profile::built_in(choice.name).is_some());
        assert!(choice.reason.contains(&p50.to_string()) && !choice.reason.contains('\n'));
    }
}

#[test]
fn a_virtual_disk_is_not_taken_for_the_drive_behind_it() {
    let told = Told {
        rotational: Some(false),
        is_virtual: true,
    };
    for (p50, p99, name) in [
        (20, 60, "virtio"),
        (129, 800, "virtio"),
        (700, 9000, "virtio"),
        (700, 1500, "cloud-volume"),
        (8500, 30_000, "spinning"),
    ] {
        assert_eq!(
            Profile::choose(even(p50, p99), told).name,
            name,
            "p50 {p50}"
        );
    }
}

#[test]
fn a_limit_on_operations_is_seen_behind_its_bursts() {
    let durable = Durable {
        p50_us: 90,
        mean_us: 6_600,
        p99_us: 98_000,
    };
    let choice = Profile::choose(durable, Told::default());
    assert_eq!(choice.name, "spinning");
    assert!(choice.reason.contains("6600 us"), "{}", choice.reason);
    let few = Durable {
        mean_us: 360,
        ..durable
    };
    assert_eq!(Profile::choose(few, Told::default()).name, "virtio");
}
