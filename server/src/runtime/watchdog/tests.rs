//! A turning core is left alone, a standing one is seen, counted and handed over.
#![allow(clippy::unwrap_used)]

use std::sync::mpsc;

use super::*;
use crate::runtime::executor::{ExecutorConfig, spawn_scheduled, start};

fn quick() -> WatchdogConfig {
    WatchdogConfig {
        pulse: Duration::from_millis(1),
        check: Duration::from_millis(40),
        stall_checks: 2,
        give_up_checks: 5,
    }
}

#[test]
fn a_core_that_blocks_is_counted_and_handed_over_and_its_neighbour_is_not() {
    let (gave_up, seen) = mpsc::channel();
    let (watchdog, pulses, counts) = watch(quick(), 2, move |core, checks| {
        gave_up.send((core, checks)).unwrap()
    })
    .unwrap();
    let (release, blocked) = mpsc::channel::<()>();
    let inputs: Vec<_> = pulses.into_iter().zip([None, Some(blocked)]).collect();
    let executors = start(
        &ExecutorConfig::new(2),
        inputs,
        |_, (pulse, blocked)| async move {
            spawn_scheduled(pulse.run());
            Sleep::new(Duration::from_millis(5)).await;
            if let Some(blocked) = blocked {
                // What no task may do: holding the executor.
                let _ = blocked.recv();
            } else {
                std::future::pending::<()>().await;
            }
        },
    )
    .unwrap();
    assert_eq!(
        seen.recv_timeout(Duration::from_secs(20)).unwrap(),
        (CoreId(1), 5)
    );
    assert_eq!(counts.stalls(CoreId(1)), 1);
    drop(release);
    assert_eq!(executors.wait().unwrap().core, CoreId(1));
    drop(watchdog);
    assert!(counts.beats(CoreId(0)) > 0);
}

#[test]
fn a_core_that_was_never_started_is_not_called_stalled() {
    let hearts: Arc<[CachePadded<Heart>]> = (0..1).map(|_| CachePadded::default()).collect();
    let mut round = Round::new(quick(), hearts.clone(), |_, _| panic!("nothing to give up"));
    for _ in 0..20 {
        round.check();
    }
    assert_eq!(StallCounts(hearts).stalls(CoreId(0)), 0);
}

#[test]
fn a_core_that_turns_again_is_counted_once_per_stall() {
    let hearts: Arc<[CachePadded<Heart>]> = (0..1).map(|_| CachePadded::default()).collect();
    let mut round = Round::new(quick(), hearts.clone(), |_, _| {
        panic!("it came back in time")
    });
    for _ in 0..3 {
        hearts[0].beats.fetch_add(1, Ordering::Relaxed);
        for _ in 0..5 {
            round.check();
        }
    }
    assert_eq!(StallCounts(hearts).stalls(CoreId(0)), 3);
}
