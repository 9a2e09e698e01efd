//! openraft's own suite for runtimes, and what the simulator asks beyond it.
#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn passes_the_suite_of_openraft() {
    openraft_rt::testing::Suite::<SimRuntime>::test_all();
}

#[test]
fn a_crash_drops_the_tasks_of_its_life_and_no_others() {
    let executor = Executor::new(1);
    let (dying, living) = (Rc::new(()), Rc::new(()));
    for (life, held) in [(1, dying.clone()), (2, living.clone())] {
        executor.set_life(life);
        drop(spawn(async move {
            let inner = held.clone();
            // A task started by a task belongs to the same life.
            drop(spawn(async move {
                std::future::pending::<()>().await;
                drop(inner);
            }));
            SimRuntime::sleep(Duration::from_secs(3600)).await;
            drop(held);
        }));
    }
    for _ in 0..8 {
        executor.step(None);
    }
    executor.kill(1);
    assert_eq!(Rc::strong_count(&dying), 1);
    assert!(Rc::strong_count(&living) > 1);
}

#[test]
fn sleepers_wake_in_the_order_of_their_deadlines() {
    SimRuntime::run(async {
        let woken = Rc::new(RefCell::new(Vec::new()));
        let sleepers = [30, 10, 20].map(|ms| {
            let woken = woken.clone();
            spawn(async move {
                SimRuntime::sleep(Duration::from_millis(ms)).await;
                woken.borrow_mut().push(ms);
            })
        });
        for sleeper in sleepers {
            sleeper.await.unwrap();
        }
        assert_eq!(*woken.borrow(), [10, 20, 30]);
    });
}
