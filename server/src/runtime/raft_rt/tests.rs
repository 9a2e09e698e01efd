//! openraft's own suite for runtimes, and what it leaves out.
#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::rc::Rc;

use super::*;

#[test]
fn passes_the_suite_of_openraft() {
    openraft_rt::testing::Suite::<CoreRuntime>::test_all();
}

#[test]
fn a_task_whose_handle_was_dropped_goes_on() {
    CoreRuntime::run(async {
        let done = Rc::new(Cell::new(false));
        let flag = done.clone();
        drop(CoreRuntime::spawn(async move {
            CoreRuntime::sleep(Duration::from_millis(1)).await;
            flag.set(true);
        }));
        while !done.get() {
            CoreRuntime::sleep(Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn a_spawned_task_does_not_run_inside_spawn() {
    CoreRuntime::run(async {
        let order = Rc::new(Cell::new(0));
        let inside = order.clone();
        let task = CoreRuntime::spawn(async move { inside.get() });
        order.set(1);
        assert_eq!(task.await, Ok(1));
    });
}

#[test]
fn a_timeout_drops_the_late_future_with_itself() {
    CoreRuntime::run(async {
        let held = Rc::new(());
        let inside = held.clone();
        let limited = CoreRuntime::timeout(Duration::from_millis(2), async move {
            std::future::pending::<()>().await;
            drop(inside);
        });
        assert_eq!(limited.await, Err(Elapsed));
        assert_eq!(Rc::strong_count(&held), 1);
    });
}
