//! The simulator's runs: seeds, crashes at every operation of the disk, broken promises. More of
//! each: `cargo run -p tests --bin sim`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::cell::RefCell;
use std::rc::Rc;

use engine::shard::request::PutRequest;
use tests::sim::faults::{ALL, SyncClass};
use tests::sim::node::Shape;
use tests::sim::raft_rt::spawn;
use tests::sim::run::{Failure, Plan, Summary, crash_every_boot, crash_everywhere, run};
use tests::sim::world::World;

fn must_hold(plan: &Plan) -> Summary {
    match run(plan) {
        Ok(summary) => summary,
        Err(failure) => panic!("{failure}\nshown again by {plan:?}"),
    }
}

fn must_hold_all(done: Result<u64, (Plan, Failure)>) -> u64 {
    match done {
        Ok(runs) => runs,
        Err((plan, failure)) => panic!("{failure}\nshown again by {plan:?}"),
    }
}

/// A run short enough to be repeated for each operation of its disk.
fn short(seed: u64) -> Plan {
    let mut plan = Plan::new(seed);
    plan.lives = 2;
    plan.service.clients = 3;
    plan.service.requests = 8;
    plan
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    let plan = Plan::new(1);
    let (first, second) = (must_hold(&plan), must_hold(&plan));
    assert_eq!(first, second);
    assert_ne!(first.trace, must_hold(&Plan::new(2)).trace);
}

#[test]
fn nothing_is_lost_or_invented_over_many_seeds() {
    let runs: Vec<Summary> = (0..24).map(|seed| must_hold(&Plan::new(seed))).collect();
    let sum = |of: fn(&Summary) -> u64| runs.iter().map(of).sum::<u64>();
    assert!(sum(|run| run.crashes) > 24, "too few crashes prove little");
    assert!(sum(|run| run.boot_crashes) > 0, "no boot was interrupted");
    assert!(sum(|run| run.kills) > 0, "no process was killed");
    assert!(
        sum(|run| run.answers) > 2400,
        "too few answers prove little"
    );
}

#[test]
fn a_crash_at_any_operation_of_the_disk_loses_nothing_that_was_told() {
    let mut runs = 0;
    for (seed, stride) in [(1, 7), (5, 11)] {
        runs += must_hold_all(crash_everywhere(&short(seed), stride));
    }
    assert!(runs > 20, "{runs} crashes prove little");
}

#[test]
fn a_process_killed_at_any_operation_of_the_disk_loses_nothing_that_was_told() {
    let plan = Plan {
        kill: true,
        ..short(3)
    };
    assert!(must_hold_all(crash_everywhere(&plan, 9)) > 5);
}

#[test]
fn a_crash_at_any_operation_of_a_boot_loses_nothing_that_was_told() {
    assert!(must_hold_all(crash_every_boot(&short(1))) > 5);
}

/// Clients that write faster than pages are written wait for them and are not refused; before, the
/// first refusal was the last thing that a shard answered to a change.
#[test]
fn who_writes_faster_than_pages_are_written_waits() {
    let mut world = World::new(1);
    let shape = Shape {
        shards: Some(2),
        cores: 2,
        lanes: 2,
        segment_bytes: 1 << 20,
        durable_writes: true,
        checkpoint_bytes: 64 << 20,
        seal_bytes: 1 << 30,
        staged_bytes_max: 96 << 10,
        page_cache_bytes: 0,
    };
    let cores = world.boot(shape).unwrap();
    let answers = Rc::new(RefCell::new(Vec::new()));
    for client in 0..64 {
        let (core, answers) = (cores[client % 2].clone(), answers.clone());
        drop(spawn(async move {
            for n in 0..20 {
                let put = PutRequest {
                    key: format!("{client}/{n}").into(),
                    value: vec![b'v'; 4096].into(),
                    ..PutRequest::default()
                };
                let answer = core.put(put).await;
                answers.borrow_mut().push(answer.map(|_| ()));
            }
        }));
    }
    while answers.borrow().len() < 64 * 20 {
        assert!(world.executor.step(Some(&world.disk)), "it goes on");
    }
    let answers = answers.borrow();
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}

/// Where to look for a run in which a broken class of syncs shows.
enum Shown {
    /// In a whole run of this seed or one soon after it.
    BySeed(u64),
    /// In a short run of this seed with a crash at this operation or one soon after it.
    ByCrash(u64, u64),
    /// The same with the process killed there, and the power gone a life later.
    ByKill(u64, u64),
    /// In none: it says which other sync makes durable what this one does.
    Nowhere(&'static str),
}

fn shown(class: SyncClass) -> Shown {
    match class {
        SyncClass::LogWrite => Shown::BySeed(0),
        SyncClass::LogFill => Shown::BySeed(1),
        SyncClass::LogDir => Shown::BySeed(0),
        SyncClass::LogRoot => Shown::BySeed(0),
        SyncClass::LogReread => Shown::ByKill(2, 40),
        SyncClass::Page => Shown::BySeed(0),
        SyncClass::PageDir => Shown::BySeed(0),
        SyncClass::Index => Shown::BySeed(0),
        SyncClass::IndexDir => Shown::ByCrash(0, 170),
        SyncClass::Manifest => Shown::BySeed(0),
        SyncClass::ManifestDir => Shown::BySeed(0),
        SyncClass::ManifestReread => Shown::ByKill(28, 60),
        SyncClass::Superblock => Shown::BySeed(0),
        SyncClass::RootBefore => Shown::ByCrash(1, 8),
        SyncClass::RootAfter => Shown::Nowhere("the first lane to be opened syncs the root again"),
        SyncClass::RootAgain => Shown::Nowhere("the root was synced after the superblock"),
        SyncClass::RootAfterAndAgain => Shown::BySeed(12),
        SyncClass::PageRoot => Shown::BySeed(0),
    }
}

/// Whether some run near the place fails; that is what it has to do.
fn is_missed(class: SyncClass, shown: &Shown) -> bool {
    let broken = |plan: Plan| {
        let broken = Some(class);
        run(&Plan { broken, ..plan }).is_err()
    };
    let at = |seed, operation, kill| {
        let mut plan = short(seed);
        plan.service.clients = 2;
        plan.service.requests = 6;
        plan.crash_at = Some(operation);
        plan.kill = kill;
        plan
    };
    match *shown {
        Shown::BySeed(from) => (from..from + 12).any(|seed| broken(Plan::new(seed))),
        Shown::ByCrash(seed, from) => near(seed, from, &|seed, op| broken(at(seed, op, false))),
        Shown::ByKill(seed, from) => near(seed, from, &|seed, op| broken(at(seed, op, true))),
        Shown::Nowhere(why) => {
            let fails = (0..4).any(|seed| broken(Plan::new(seed)));
            assert!(!fails, "{class:?} shows, though it is said that {why}");
            true
        }
    }
}

/// Whether a run at one of the operations from `from` on fails, or, where the engine has changed
/// since the table was written, at any operation of the seeds that follow.
fn near(seed: u64, from: u64, fails: &dyn Fn(u64, u64) -> bool) -> bool {
    let further = (seed + 1..seed + 13).flat_map(|seed| (1..240).map(move |op| (seed, op)));
    let here = (from..from + 60).map(|op| (seed, op));
    here.chain(further).any(|(seed, op)| fails(seed, op))
}

#[test]
fn every_promise_of_durability_is_missed_when_it_is_broken() {
    let unnoticed: Vec<SyncClass> = ALL
        .into_iter()
        .filter(|class| !is_missed(*class, &shown(*class)))
        .collect();
    assert!(
        unnoticed.is_empty(),
        "broken, and nothing shows it: {unnoticed:?}"
    );
}
